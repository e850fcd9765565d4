import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseDiffId } from "../../../src/image/digest.ts";
import { Catalog } from "../../../src/store/catalog/catalog.ts";
import { INODE_ROW_BYTES, type CatalogLayer } from "../../../src/store/catalog/catalog-session.ts";
import { inodeIdAt } from "../../../src/store/ids.ts";
import { StoreLayout } from "../../../src/store/layout.ts";
import { FileLock } from "../../../src/system/file-lock.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../../support/temporary-directory.ts";

const ROWS = 5000;

function layerOf(digit: string): CatalogLayer {
  return { diffId: parseDiffId(`sha256:${digit.repeat(64)}`), inodes: randomBytes(ROWS * INODE_ROW_BYTES) };
}

interface Setup extends AsyncDisposable {
  readonly layout: StoreLayout;
  readonly layers: CatalogLayer[];
  readonly warnings: string[];
  open(storeId?: string): Catalog;
}

async function setup(): Promise<Setup> {
  const directory: TemporaryDirectory = await temporaryDirectory();
  const layout = new StoreLayout(directory.path);
  for (const path of layout.directories) mkdirSync(path, { recursive: true });
  const layers = [layerOf("a"), layerOf("b")];
  const warnings: string[] = [];
  const warn = (code: string): number => warnings.push(code);
  const all = async function* (): AsyncGenerator<CatalogLayer> {
    yield* layers;
  };
  const opened: Catalog[] = [];
  const open = (storeId = "store-1"): Catalog => {
    const catalog = new Catalog({ layout, storeId, layers: all, warn });
    opened.push(catalog);
    return catalog;
  };
  const dispose = async (): Promise<void> => {
    for (const catalog of opened) await catalog.idle();
    await directory[Symbol.asyncDispose]();
  };
  return { layout, layers, warnings, open, [Symbol.asyncDispose]: dispose };
}

/** Every inode of both layers is found. */
async function isComplete(catalog: Catalog, layers: readonly CatalogLayer[]): Promise<boolean> {
  return catalog.session(async (session) => {
    const known = await session.layers();
    for (const { diffId, inodes } of layers) {
      if (!known.includes(diffId)) return false;
      for (const row of [0, 17, ROWS - 1]) {
        const users = await session.layersOf(inodeIdAt(inodes, row * INODE_ROW_BYTES));
        if (!users.includes(diffId)) return false;
      }
    }
    return true;
  });
}

test("`Catalog` knows what was added, by whom, and nothing else; adding twice changes nothing", async () => {
  await using at = await setup();
  const catalog = at.open();
  for (const layer of [...at.layers, ...at.layers]) await catalog.addLayer(layer);
  assert.ok(await isComplete(catalog, at.layers));
  assert.deepEqual(await catalog.session((session) => session.layersOf(inodeIdAt(Buffer.alloc(20), 0))), []);
  assert.ok(await isComplete(at.open(), at.layers));
  assert.deepEqual(at.warnings, []);
});

const damages: Readonly<Record<string, (db: string) => void>> = {
  "is gone": (db) => rmSync(db, { recursive: true }),
  "has lost CURRENT": (db) => rmSync(join(db, "CURRENT")),
  "has nonsense in CURRENT": (db) => writeFileSync(join(db, "CURRENT"), "MANIFEST-999999\n"),
  "has an empty CURRENT": (db) => writeFileSync(join(db, "CURRENT"), ""),
  "has lost its log": (db) => each(db, ".log", (path) => rmSync(path)),
  "has lost its manifest": (db) =>
    readdirSync(db)
      .filter((name) => name.startsWith("MANIFEST"))
      .forEach((name) => rmSync(join(db, name))),
  "is a file": (db) => (rmSync(db, { recursive: true }), writeFileSync(db, "")),
};

for (const [name, strike] of Object.entries(damages)) {
  test(`\`Catalog\` is rebuilt from the layers when the database ${name}`, async () => {
    await using at = await setup();
    const catalog = at.open();
    for (const layer of at.layers) await catalog.addLayer(layer);
    await catalog.idle();
    strike(at.layout.db);
    assert.ok(await isComplete(catalog, at.layers));
    assert.deepEqual(readdirSync(at.layout.staging), []);
  });
}

test("`Catalog` is rebuilt when the database belongs to another store", async () => {
  await using at = await setup();
  await at.open("another").addLayer(layerOf("c"));
  const catalog = at.open();
  assert.ok(await isComplete(catalog, at.layers));
  assert.equal((await catalog.session((session) => session.layers())).length, 2);
});

test("`Catalog` that could not be rebuilt is closed, and rebuilt the next time", async () => {
  await using at = await setup();
  let fail = true;
  const layers = async function* (): AsyncGenerator<CatalogLayer> {
    yield at.layers[0]!;
    if (fail) throw new Error("no such sidecar");
    yield at.layers[1]!;
  };
  const catalog = new Catalog({ layout: at.layout, storeId: "store-1", layers, warn: () => {} });
  await assert.rejects(catalog.addLayer(layerOf("d")), /no such sidecar/);
  fail = false;
  assert.ok(await isComplete(catalog, at.layers));
  await catalog.idle();
});

test("`Catalog` does no harm when the store goes while it lingers", async () => {
  const at = await setup();
  await at.open().addLayer(at.layers[0]!);
  rmSync(at.layout.root, { recursive: true });
  await new Promise((resolve) => setTimeout(resolve, 100));
  await at[Symbol.asyncDispose]();
});

test("`Catalog.session()` waits while another holds the lock, and can be cancelled", async () => {
  await using at = await setup();
  const catalog = at.open();
  await catalog.addLayer(at.layers[0]!);
  await catalog.idle();
  const lock = FileLock.try(at.layout.lock("db"));
  await assert.rejects(catalog.addLayer(at.layers[1]!, AbortSignal.timeout(50)), { name: "TimeoutError" });
  const waiting = catalog.addLayer(at.layers[1]!);
  lock!.release();
  await waiting;
  await catalog.idle();
});

test("`Catalog.session()` runs sessions of one process one after the other", async () => {
  await using at = await setup();
  const [one, two] = [at.open(), at.open()];
  let open = 0;
  const session = async (catalog: Catalog): Promise<void> =>
    catalog.session(async () => {
      assert.equal(++open, 1);
      await new Promise((resolve) => setTimeout(resolve, 5));
      open--;
    });
  await Promise.all([one, two, one, two, one].map(session));
});

function each(directory: string, suffix: string, action: (path: string) => void): void {
  for (const name of readdirSync(directory)) if (name.endsWith(suffix)) action(join(directory, name));
}

test("`Catalog` merges what its sessions leave, however short they are", async () => {
  await using at = await setup();
  for (let round = 0; round < 40; round++) {
    const catalog = at.open();
    await catalog.addLayer(layerOf((round % 10).toString()));
    await catalog.idle();
  }
  const tables = readdirSync(at.layout.db).filter((name) => name.endsWith(".ldb"));
  assert.ok(tables.length < 20, `${tables.length} tables`);
});

test("`Catalog.session()` of one handle lets another in, though it has always more to do", async () => {
  await using at = await setup();
  const [busy, other] = [at.open(), at.open()];
  const done = new AbortController();
  const hog = async (): Promise<void> => {
    while (!done.signal.aborted) await busy.session(() => new Promise((resolve) => setTimeout(resolve, 5)));
  };
  const hogging = hog();
  const found = await other.session((session) => session.layers(), AbortSignal.timeout(5000)).finally(() => done.abort());
  assert.deepEqual(
    found,
    at.layers.map(({ diffId }) => diffId),
  );
  await hogging;
});

test("A `Catalog` that cannot see who waits for it lets go of its lock", async () => {
  await using own = await setup();
  const { layout, layers } = own;
  const catalog = own.open();
  assert.ok(await isComplete(catalog, layers));
  rmSync(layout.lock("db-waiting"), { force: true });
  mkdirSync(layout.lock("db-waiting"));
  const isFree = (): boolean => {
    using lock = FileLock.try(layout.lock("db"));
    return lock !== undefined;
  };
  while (!isFree()) await sleep(10);
  assert.ok(await isComplete(catalog, layers));
});

function announce(catalog: Catalog, layout: StoreLayout, layer: CatalogLayer): void {
  catalog.announce(layer, join(layout.staging, `edges-${randomBytes(4).toString("hex")}`));
}

test("`Catalog.announce()` waits for nobody, and every session knows what was announced, in whatever process", async () => {
  await using at = await setup();
  const [holder, other] = [at.open(), at.open()];
  const release = Promise.withResolvers<void>();
  const holding = holder.session(() => release.promise);
  for (const layer of at.layers) announce(other, at.layout, layer);
  await other.tidy();
  assert.equal(readdirSync(at.layout.edges).length, 2, "another has the database");
  release.resolve();
  await holding;
  assert.ok(await isComplete(holder, at.layers));
  assert.deepEqual(readdirSync(at.layout.edges), []);
  assert.deepEqual(readdirSync(at.layout.staging), []);
});

test("`Catalog.tidy()` enters what was announced when nobody has the database, and does not open it for nothing", async () => {
  await using at = await setup();
  const catalog = at.open();
  await catalog.tidy();
  assert.ok(!existsSync(at.layout.db));
  for (const layer of at.layers) announce(catalog, at.layout, layer);
  await catalog.tidy();
  assert.deepEqual(readdirSync(at.layout.edges), []);
  assert.ok(await isComplete(at.open(), at.layers));
});

test("`Catalog.tidy()` keeps nobody out, however often it is called", async () => {
  await using at = await setup();
  const [pulling, other] = [at.open(), at.open()];
  const done = new AbortController();
  const pulls = (async () => {
    while (!done.signal.aborted) {
      if (pulling.pending.isEmpty) announce(pulling, at.layout, at.layers[0]!);
      await pulling.tidy();
      await sleep(1);
    }
  })();
  for (let session = 0; session < 3; session++) await other.session(() => sleep(5));
  await other.idle();
  done.abort();
  await pulls;
});

test("`PendingEdges.among()` finds the inodes that an announced layer uses", async () => {
  await using at = await setup();
  const catalog = at.open();
  const [layer] = at.layers;
  const ids = [0, 17, ROWS - 1].map((row) => inodeIdAt(layer!.inodes, row * INODE_ROW_BYTES));
  assert.equal(catalog.pending.among(ids).size, 0);
  announce(catalog, at.layout, layer!);
  const found = catalog.pending.among([...ids, inodeIdAt(Buffer.alloc(20), 0)]);
  assert.deepEqual([...found].sort(), ids.map((id) => Buffer.from(id).toString("latin1")).sort());
});

test("`Catalog` takes nothing from a file of edges that is damaged, and removes it", async () => {
  await using at = await setup();
  const catalog = at.open();
  await catalog.session(() => Promise.resolve());
  for (const layer of [layerOf("c"), layerOf("d")]) announce(catalog, at.layout, layer);
  const [first, second] = readdirSync(at.layout.edges).map((name) => join(at.layout.edges, name));
  truncateSync(first!, 1000 * INODE_ROW_BYTES + 64);
  writeFileSync(second!, Buffer.alloc(statSync(second!).size));
  symlinkSync("/etc/hostname", join(at.layout.edges, "planted"));
  assert.deepEqual(
    await catalog.session((session) => session.layers()),
    at.layers.map(({ diffId }) => diffId),
  );
  assert.deepEqual(readdirSync(at.layout.edges), []);
});
