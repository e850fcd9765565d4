import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import { Ingest, type LayerRequest } from "../../../src/ingest/pipeline/ingest.ts";
import { DEFAULT_LIMITS } from "../../../src/pull/limits.ts";
import { MadeInodes } from "../../../src/store/made-inodes.ts";
import { ABSENT, COPIED, STAGED } from "../../../src/store/staged-state.ts";
import { WorkerPool } from "../../../src/system/worker-pool.ts";
import type { MortalTaskMap } from "../../support/mortal-worker.ts";
import { buildLayer, layerFromTar, type TestLayer } from "../../../src/testing/index.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { END, paxHeader, rawHeader } from "../../tar/raw-header.ts";

const MODULE: URL = new URL("../../support/mortal-worker.js", import.meta.url);

function requestFor(layer: TestLayer, directory: string, blob: AsyncIterable<Uint8Array>): LayerRequest {
  const { diffId, digest, size, mediaType } = layer;
  return {
    diffId,
    descriptor: { digest, size, mediaType },
    blob,
    directory,
    buildIndex: true,
    verifyContent: false,
    limits: DEFAULT_LIMITS,
    onDownloaded: () => {},
    onUnpacked: () => {},
    onSettling: () => {},
  };
}

test(
  "`Ingest` fails its layers with WORKER_FAILED when a worker dies, whichever it is, and another Ingest on the same pool works",
  { timeout: 20_000 },
  async () => {
    await using directory = await temporaryDirectory();
    const [chunks, staging] = [join(directory.path, "chunks"), join(directory.path, "staging")];
    mkdirSync(chunks);
    mkdirSync(staging);
    const owner = { uid: process.geteuid!(), gid: process.getegid!() };
    const layer = await buildLayer([{ path: "f", content: Buffer.alloc(3_000_000, "x") }], { compression: "none" });
    const bytes = layer.content as Buffer;
    let ingest: Ingest | undefined;
    const pool: WorkerPool<MortalTaskMap> = new WorkerPool(MODULE, { size: 2, onLost: (error) => ingest?.fail(error) });
    for (const worker of [0, 1, undefined]) {
      ingest = new Ingest({ pool, chunks, staging, writer: { profile: "overlay", owner, trustedSince: 0 } });
      const blob = async function* (): AsyncGenerator<Uint8Array> {
        yield bytes.subarray(0, 1_500_000);
        if (worker !== undefined) pool.run("test/die", undefined, { worker }).catch(() => undefined);
        if (worker !== undefined) await new Promise((resolve) => setTimeout(resolve, 300));
        yield bytes.subarray(1_500_000);
      };
      const result = ingest.ingest(requestFor(layer, join(staging, `layer-${worker}`), blob()));
      if (worker !== undefined) await assert.rejects(result, (error) => ShaleError.is(error, "WORKER_FAILED"));
      else assert.equal((await result).entries, 2);
      assert.equal(ingest.failed, worker !== undefined);
    }
    assert.ok(readdirSync(chunks).length === 1);
    await pool.close();
    ingest?.close();
  },
);

interface Place extends AsyncDisposable {
  readonly chunks: string;
  readonly staging: string;
  readonly pool: WorkerPool<MortalTaskMap>;
  ingest(): Ingest;
}

/** The last Ingest made is told of a worker's death. */
async function place(size = 1): Promise<Place> {
  const directory = await temporaryDirectory();
  const [chunks, staging] = [join(directory.path, "chunks"), join(directory.path, "staging")];
  mkdirSync(chunks);
  mkdirSync(staging);
  const owner = { uid: process.geteuid!(), gid: process.getegid!() };
  let last: Ingest | undefined;
  const pool: WorkerPool<MortalTaskMap> = new WorkerPool(MODULE, { size, onLost: (error) => last?.fail(error) });
  return {
    chunks,
    staging,
    pool,
    ingest: () => (last = new Ingest({ pool, chunks, staging, writer: { profile: "overlay", owner, trustedSince: 0 } })),
    [Symbol.asyncDispose]: async () => {
      // of a test that failed layers may still be on their way, and would keep the process
      last?.fail(new Error("the test has ended"));
      await pool.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Files that workers have in the making, below staging. */
function stagedFiles(staging: string): string[] {
  return readdirSync(staging, { recursive: true })
    .map(String)
    .filter((name) => /^chunks-\d+\/\d+$/.test(name));
}

async function untilStaged(staging: string): Promise<void> {
  while (stagedFiles(staging).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

interface HeldUp {
  readonly blob: AsyncIterable<Uint8Array>;
  /** A worker has the layer. */
  readonly begun: Promise<unknown>;
  goOn(): void;
}

/** The layer's first header, and the rest when it is told to go on. */
function heldUp(layer: TestLayer): HeldUp {
  const [begun, going] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
  const blob = async function* (): AsyncGenerator<Uint8Array> {
    begun.resolve(undefined);
    yield (layer.content as Buffer).subarray(0, 512);
    await going.promise;
    yield (layer.content as Buffer).subarray(512);
  };
  return { blob: blob(), begun: begun.promise, goOn: () => going.resolve(undefined) };
}

test("`Ingest` ingests again what a worker died over with a large file open, and leaves nothing of that", { timeout: 20_000 }, async () => {
  await using here = await place();
  const layer = await buildLayer([{ path: "f", content: Buffer.alloc(3_000_000, "x") }], { compression: "none" });
  const bytes = layer.content as Buffer;
  const started = (): boolean => stagedFiles(here.staging).length > 0;
  const blob = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes.subarray(0, 1_500_000);
    await untilStaged(here.staging);
    await here.pool.run("test/die", undefined).catch(() => undefined);
  };
  const dead = here.ingest().ingest(requestFor(layer, join(here.staging, "dead"), blob()));
  await assert.rejects(dead, (error) => ShaleError.is(error, "WORKER_FAILED"));
  assert.ok(started());
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
  };
  assert.equal((await here.ingest().ingest(requestFor(layer, join(here.staging, "again"), whole()))).entries, 2);
  assert.ok(!started());
});

test("`Ingest` told to forget makes chunks again that were removed while it runs", { timeout: 20_000 }, async () => {
  await using here = await place();
  const layer = await buildLayer([{ path: "f", content: "content" }], { compression: "none" });
  const ingest = here.ingest();
  const files = (): string[] => readdirSync(here.chunks, { recursive: true }).map((name) => join(here.chunks, String(name)));
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield layer.content as Buffer;
  };
  const running = heldUp(layer);
  const other = ingest.ingest(requestFor(layer, join(here.staging, "other"), running.blob));
  await running.begun;
  await ingest.ingest(requestFor(layer, join(here.staging, "first"), bytes()));
  const before = files();
  assert.equal(before.length, 2);
  rmSync(before.at(-1)!);
  await ingest.ingest({ ...requestFor(layer, join(here.staging, "again"), bytes()), forget: true });
  assert.deepEqual(files(), before);
  running.goOn();
  await other;
});

test("`Ingest` leaves no file in staging of a large file that it cannot publish", { timeout: 20_000 }, async () => {
  await using here = await place();
  const layer = await buildLayer([{ path: "f", content: Buffer.alloc(3_000_000, "x") }], { compression: "none" });
  const ingest = here.ingest();
  const blob = async function* (): AsyncGenerator<Uint8Array> {
    rmdirSync(here.chunks);
    writeFileSync(here.chunks, "");
    yield layer.content as Buffer;
  };
  await assert.rejects(ingest.ingest(requestFor(layer, join(here.staging, "layer"), blob())));
  assert.deepEqual(readdirSync(here.staging, { recursive: true }), ["chunks-0"]);
});

for (const workers of [1, 2, 3]) {
  test(`\`Ingest\` stores small and large files of several layers at once with ${workers} workers`, { timeout: 60_000 }, async () => {
    await using here = await place(workers);
    const contents = (layer: number): Buffer[] =>
      [4, 1_500_000, 1_048_576, 1_048_064, 3_000_000, 700_000, 700_000, 9, 2_097_152, 2_096_640, 17].map((size, file) =>
        Buffer.alloc(size, `${layer}${String.fromCharCode(97 + file)}; `),
      );
    const layers = await Promise.all(
      [0, 1, 2, 3].map(async (number) => ({
        number,
        built: await buildLayer(
          contents(number).map((content, index) => ({ path: `f${index}`, content })),
          { compression: number % 2 === 0 ? "gzip" : "none" },
        ),
      })),
    );
    const ingest = here.ingest();
    const ingested = layers.map(({ number, built }) => {
      const blob = async function* (): AsyncGenerator<Uint8Array> {
        const bytes = built.content as Buffer;
        for (let at = 0; at < bytes.length; at += 100_003) yield bytes.subarray(at, at + 100_003);
      };
      return ingest.ingest(requestFor(built, join(here.staging, `layer-${number}`), blob()));
    });
    for (const { entries } of await Promise.all(ingested)) assert.equal(entries, 12);
    const digest = (bytes: Buffer): string => hash("sha256", bytes);
    const stored = readdirSync(here.chunks, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    assert.deepEqual(
      stored.map(({ parentPath, name }) => digest(readFileSync(join(parentPath, name)))).sort(),
      layers.flatMap(({ number }) => contents(number).map(digest)).sort(),
    );
  });
}

test(
  "`Ingest` lets the next worker store the large files of a layer that is alone, and else the one that inflates",
  { timeout: 20_000 },
  async () => {
    await using here = await place(2);
    const layer = await buildLayer([{ path: "f", content: Buffer.alloc(4_000_000, "x") }], { compression: "none" });
    const ingest = here.ingest();
    const stored = async (directory: string): Promise<string | undefined> => {
      let where: string | undefined;
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        yield (layer.content as Buffer).subarray(0, 2_500_000);
        await untilStaged(here.staging);
        where = stagedFiles(here.staging)[0]!.split("/")[0];
        throw new Error("the connection is gone");
      };
      await assert.rejects(ingest.ingest(requestFor(layer, join(here.staging, directory), broken())), /the connection is gone/);
      return where;
    };
    // layers take turns in being inflated by worker 0 and worker 1
    assert.equal(await stored("0"), "chunks-1");
    assert.equal(await stored("1"), "chunks-0");
    const held = heldUp(layer);
    const going = ingest.ingest(requestFor(layer, join(here.staging, "2"), held.blob));
    await held.begun;
    assert.equal(await stored("3"), "chunks-1");
    assert.equal(await stored("4"), "chunks-0");
    held.goOn();
    await going;
    assert.equal(await stored("5"), "chunks-0");
  },
);

test("`Ingest` leaves nothing of a large file when its layer is given up, while another layer goes on", { timeout: 20_000 }, async () => {
  await using here = await place(2);
  const layer = await buildLayer([{ path: "f", content: Buffer.alloc(4_000_000, "x") }], { compression: "none" });
  const other = await buildLayer([{ path: "o", content: Buffer.alloc(2_000_000, "o") }], { compression: "none" });
  const ingest = here.ingest();
  const held = heldUp(other);
  const going = ingest.ingest(requestFor(other, join(here.staging, "other"), held.blob));
  await held.begun;
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield (layer.content as Buffer).subarray(0, 2_500_000);
    await untilStaged(here.staging);
    throw new Error("the connection is gone");
  };
  await assert.rejects(ingest.ingest(requestFor(layer, join(here.staging, "layer"), broken())), /the connection is gone/);
  assert.deepEqual(stagedFiles(here.staging), []);
  held.goOn();
  assert.equal((await going).entries, 2);
  const whole = async function* (): AsyncGenerator<Uint8Array> {
    yield layer.content as Buffer;
  };
  assert.equal((await ingest.ingest(requestFor(layer, join(here.staging, "again"), whole()))).entries, 2);
});

test("`Ingest` takes more extended attributes than by default when the limit says so", { timeout: 20_000 }, async () => {
  await using here = await place();
  const xattrs = paxHeader([1, 2, 3].map((number) => [`SCHILY.xattr.user.x${number}`, "v".repeat(60_000)] as const));
  const layer = layerFromTar(Buffer.concat([xattrs, rawHeader({ name: "d/", typeflag: "5" }), END]), { compression: "none" });
  const blob = async function* (): AsyncGenerator<Uint8Array> {
    yield layer.content as Buffer;
  };
  const request = requestFor(layer, join(here.staging, "layer"), blob());
  const limits = { ...DEFAULT_LIMITS, xattrBytes: 1024 * 1024 };
  assert.equal((await here.ingest().ingest({ ...request, limits })).entries, 2);
});

const PLACED_CASES = [
  {
    name: "what each entry has there",
    entries: [
      { path: "d", type: "directory" },
      { path: "d/f", content: "f" },
      { path: "empty", content: "" },
      { path: "equal", content: "f" },
      { path: "link", type: "hardlink", target: "linked" },
      { path: "linked", content: "linked" },
    ],
    // the root; d, empty, equal, link, linked; d/f
    placed: [ABSENT, STAGED, ABSENT, COPIED, ABSENT, ABSENT, STAGED],
    names: ["d", "d/f", "equal"],
  },
  {
    name: "nothing, when an entry replaced another",
    entries: [
      { path: "f", content: "first" },
      { path: "f", content: "second" },
    ],
    placed: undefined,
    names: ["f"],
  },
  {
    name: "nothing, when a symlink leads an entry elsewhere",
    entries: [
      { path: "to", type: "directory" },
      { path: "from", type: "symlink", target: "to" },
      { path: "from/f", content: "f" },
    ],
    placed: undefined,
    names: ["from", "from/f", "to"],
  },
] as const;

for (const { name, entries, placed, names } of PLACED_CASES) {
  test(`\`Ingest\` makes the files of a layer in the tree that it is given, and tells ${name}`, { timeout: 20_000 }, async () => {
    await using here = await place();
    const layer = await buildLayer(entries, { compression: "none" });
    const whole = async function* (): AsyncGenerator<Uint8Array> {
      yield layer.content as Buffer;
    };
    const directory = join(here.staging, "tree");
    mkdirSync(directory);
    const tree = { directory, used: new MadeInodes().memory };
    const settled = await here.ingest().ingest({ ...requestFor(layer, join(here.staging, "layer"), whole()), tree });
    assert.deepEqual(settled.placed && [...new Uint8Array(settled.placed)], placed);
    assert.deepEqual(readdirSync(directory, { recursive: true }).sort(), [...names]);
    if (placed) assert.equal(lstatSync(join(directory, "d/f")).nlink, 2);
  });
}
