/** Several processes and one store: killed at any moment, at work at the same time, and long after the registry is gone. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { openStore, Registry } from "../../src/index.ts";
import { buildImage, fileBlob, startRegistry, type TestLayer, type TestRegistry } from "../../src/testing/index.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { compareTrees, manifestOfTree, type TreeEntry } from "../support/manifest-of-tree.ts";
import type { ChildRequest } from "../support/pull-child.ts";
import { pullInChild, startChild } from "../support/start-child.ts";
import { listFiles } from "../support/store-harness.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";
import { join } from "node:path";

let registry: TestRegistry;
let directory: TemporaryDirectory;
let layers: TestLayer[];
let reference: string;
/** The two upper layers alone: a pull that is short enough to be killed many times. */
let short: string;
/** The trees of a clean pull of that, bottom to top. */
let clean: TreeEntry[][];
let cleanMilliseconds: number;

before(async () => {
  directory = await temporaryDirectory();
  registry = await startRegistry();
  layers = await realLayers();
  reference = registry.push("real/image", "latest", buildImage({ layers }));
  short = registry.push("short/image", "latest", buildImage({ layers: layers.slice(1) }));
  const { images, milliseconds } = await pullInChild({ store: join(directory.path, "clean"), references: [short] });
  clean = await Promise.all(images[0]!.layers.map((tree) => layerTree(tree)));
  cleanMilliseconds = milliseconds;
});

after(async () => {
  await registry.close();
  await directory[Symbol.asyncDispose]();
});

test("A pull killed at any moment leaves a store in which the next pull gives the right trees", async () => {
  const random = randomFrom(5);
  const store = join(directory.path, "killed");
  for (let round = 0; round < 20; round++) {
    const options = round % 4 === 3 ? { force: true } : {};
    const child = startChild({ store, references: [short], options });
    await delay(30 + random() * cleanMilliseconds * 1.1);
    child.process.kill("SIGKILL");
    await child.result;
    assert.deepEqual(heldLocks(store), []);
    // every other round the next pull begins where this one died; the rest starts from an empty store again
    if (round % 2 === 0) continue;
    // forced again, a download that was forced is continued
    await isRight(store, options);
    await run("rm", ["-rf", store]);
  }
});

test("A pull killed while it makes trees leaves no half tree", async () => {
  const random = randomFrom(7);
  const store = join(directory.path, "killed-trees");
  const { images } = await pullInChild({ store, references: [short], options: { materialize: "lazy" } });
  for (let round = 0; round < 8; round++) {
    const child = startChild({ store, references: [short] });
    await delay(80 + random() * 400);
    child.process.kill("SIGKILL");
    await child.result;
    for (const name of readdirSync(join(store, "trees"))) {
      const index = images[0]!.layers.findIndex((tree) => tree.endsWith(name));
      assert.deepEqual(compareTrees(await layerTree(join(store, "trees", name)), clean[index]!), []);
    }
    if (round % 3 === 2) await run("sh", ["-c", `rm -rf "$0"/trees/*`, store]);
  }
  await isRight(store);
});

async function isRight(store: string, options: ChildRequest["options"] = {}): Promise<void> {
  const { images, error } = await pullInChild({ store, references: [short], options });
  assert.equal(error, undefined);
  const trees = await Promise.all(images[0]!.layers.map((tree) => layerTree(tree)));
  for (const [index, tree] of trees.entries()) assert.deepEqual(compareTrees(tree, clean[index]!), []);
  // what a killed download left is kept for the next pull, and gone when its layer is there; a small file that was about to be renamed stays
  // for an hour; and who finds everything there stages nothing, and sweeps nothing
  const staged = readdirSync(join(store, "staging"), { recursive: true, encoding: "utf8" });
  const left = staged.filter((name) => name !== "downloads" && !/^[^/]+-[0-9a-f]{12}$/.test(name));
  if (!images[0]!.cached) assert.deepEqual(left, []);
  assert.deepEqual(heldLocks(store), []);
}

/** A whiteout has no attributes that a merged view could show: its time is when it was made, and not compared. */
async function layerTree(tree: string): Promise<TreeEntry[]> {
  const entries = await manifestOfTree(tree);
  return entries.map((entry) => (entry.type === "char" && entry.device === "0:0" ? { ...entry, mtime: "" } : entry));
}

/** Lock files that somebody holds. */
function heldLocks(store: string): string[] {
  // killed before it had made a store
  if (!existsSync(join(store, "locks"))) return [];
  return readdirSync(join(store, "locks")).filter((name) => {
    const lock = FileLock.try(join(store, "locks", name));
    lock?.release();
    return lock === undefined;
  });
}

for (const processes of [2, 4]) {
  test(`${processes} processes that pull one image at the same time fetch each layer once and get the same trees`, async () => {
    const store = join(directory.path, `together-${processes}`);
    const from = registry.requests.length;
    const children = Array.from({ length: processes }, () => pullInChild({ store, references: [reference] }));
    const results = await Promise.all(children);
    for (const { error } of results) assert.equal(error, undefined);
    const fetched = registry.requests.slice(from).map(({ path }) => path);
    for (const { digest } of layers) assert.equal(fetched.filter((path) => path.endsWith(`/blobs/${digest}`)).length, 1, digest);
    assert.equal(new Set(results.map(({ images }) => JSON.stringify(images[0]?.layers))).size, 1);
    // directories aside: those that a layer implies look as the layers below made them, which the short image does not have
    for (const [index, tree] of results[0]!.images[0]!.layers.slice(1).entries()) {
      const own = (await layerTree(tree)).filter(({ type }) => type !== "directory");
      assert.deepEqual(
        compareTrees(
          own,
          clean[index]!.filter(({ type }) => type !== "directory"),
        ),
        [],
      );
    }
    assert.deepEqual(heldLocks(store), []);
  });
}

test("Processes that pull overlapping images at the same time get the trees that each alone would give", async () => {
  const names = [layers, [layers[0]!, layers[2]!], [layers[2]!, layers[0]!], [layers[1]!]].map((some, index) =>
    registry.push(`overlap/${index}`, "latest", buildImage({ layers: some })),
  );
  const together = join(directory.path, "overlapping");
  const results = await Promise.all(names.map((name) => pullInChild({ store: together, references: [name] })));
  for (const [index, { error, images }] of results.entries()) {
    assert.equal(error, undefined);
    const alone = await pullInChild({ store: join(directory.path, `alone-${index}`), references: [names[index]!] });
    for (const [layer, tree] of images[0]!.layers.entries()) {
      const expected = await layerTree(alone.images[0]!.layers[layer]!);
      assert.deepEqual(compareTrees(await layerTree(tree), expected), []);
    }
  }
});

test("A second pull asks nothing, opens neither LevelDB nor a worker, and works without registry, in a process of its own", async () => {
  const store = join(directory.path, "cached");
  await pullInChild({ store, references: [reference] });
  const asked = registry.requests.length;
  const before = listFiles(join(store, "db"));
  // exclusive lock and no way to read: whoever opens the catalog waits or fails
  const lock = FileLock.try(join(store, "locks/db"));
  assert.ok(lock);
  const trace = join(directory.path, "trace");
  const program = new URL("../support/pull-child.js", import.meta.url).pathname;
  const child = spawn(
    "strace",
    [
      "-f",
      "-e",
      "trace=openat,open,connect,clone,clone3",
      "-o",
      trace,
      process.execPath,
      program,
      JSON.stringify({ store, references: [reference] }),
    ],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0);
  lock.release();
  assert.equal(registry.requests.length, asked);
  assert.deepEqual(listFiles(join(store, "db")), before);
  const calls = await run("cat", [trace]).then((text) => text.toString().split("\n"));
  assert.deepEqual(
    calls.filter((line) => line.includes(`${store}/db`) || line.includes("/layers/sha256-")),
    [],
  );
  assert.deepEqual(
    calls.filter((line) => line.includes("connect(") && line.includes("AF_INET")),
    [],
  );
  assert.deepEqual(
    calls.filter((line) => /undici|classic-level|msgpackr/.test(line)),
    [],
  );
});

test("A pull with the policy never fails with NOT_CACHED on an empty store and succeeds on a full one, the registry stopped", async () => {
  const gone = await startRegistry();
  const name = gone.push("soon/gone", "latest", buildImage({ layers: layers.slice(2) }));
  const store = join(directory.path, "never");
  const options = { pullPolicy: "never" } as const;
  assert.equal((await pullInChild({ store, references: [name], options })).error?.code, "NOT_CACHED");
  await pullInChild({ store, references: [name] });
  await gone.close();
  const { images, error } = await pullInChild({ store, references: [name], options });
  assert.deepEqual([error, images[0]?.cached], [undefined, true]);
});

test("A process that pulls and closes nothing ends by itself", async () => {
  const { images } = await pullInChild({
    store: join(directory.path, "clean"),
    references: [reference],
    options: { force: true },
    leaveOpen: true,
  });
  assert.equal(images.length, 1);
});

test("A pull on a full disk fails with LOW_DISK, or NO_SPACE where that is to be tried, and the store works once there is room", async () => {
  const mount = join(directory.path, "small");
  await run("mkdir", [mount]);
  await run("mount", ["-t", "tmpfs", "-o", "size=40m,mode=0700", "none", mount]);
  try {
    assert.equal((await pullInChild({ store: mount, references: [reference] })).error?.code, "LOW_DISK");
    const { error } = await pullInChild({ store: mount, references: [reference], anyDisk: true });
    assert.equal(error?.code, "NO_SPACE", error?.message);
    await run("mount", ["-o", "remount,size=2g", mount]);
    await using store = await openStore(mount);
    await using client = new Registry({ store, plainHttp: true });
    await using image = await client.pull(reference);
    assert.equal(image.layers.length, 3);
  } finally {
    await run("umount", [mount]);
  }
});

/** The layers of the real image, served from files. */
async function realLayers(): Promise<TestLayer[]> {
  const { layout } = await ensureImages();
  const inspect = async (...args: string[]): Promise<Buffer> => run("skopeo", ["inspect", ...args, `oci:${layout}:full`]);
  const manifest = JSON.parse((await inspect("--raw")).toString()) as { layers: { digest: string; mediaType: string }[] };
  const config = JSON.parse((await inspect("--config")).toString()) as { rootfs: { diff_ids: TestLayer["diffId"][] } };
  return Promise.all(
    manifest.layers.map(async ({ digest, mediaType }, index) => {
      const blob = await fileBlob(join(layout, "blobs/sha256", digest.slice(7)), mediaType);
      return { ...blob, diffId: config.rootfs.diff_ids[index]! };
    }),
  );
}

/** Numbers in [0, 1) that follow from the seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
