import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore, Registry, ShaleError, type Store } from "../../src/index.ts";
import { isYoung } from "../../src/inspect/roots.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { buildImage, buildLayer, writeLayout } from "../../src/testing/index.ts";
import { run } from "../support/run.ts";
import { startStore } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MIB = 1024 * 1024;

function chunkFiles(root: string): string[] {
  return readdirSync(join(root, "chunks"), { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [entry.name] : [],
  );
}

/** Fills a disk of 24 MiB by a pull of 40 MiB, which leaves chunks that no layer has. `work` gets the store, which has another image too. */
async function onFullDisk(work: (store: Store, layout: StoreLayout) => Promise<void>): Promise<void> {
  await using directory = await temporaryDirectory();
  const disk = join(directory.path, "disk");
  const layoutPath = join(directory.path, "layout");
  const small = await buildLayer([{ path: "small", content: "small" }]);
  const large = await buildLayer(Array.from({ length: 40 }, (_, n) => ({ path: `${n}`, content: randomBytes(MIB) })));
  await writeLayout(layoutPath, { small: buildImage({ layers: [small] }), large: buildImage({ layers: [large] }) });
  mkdirSync(disk);
  await run("mount", ["-t", "tmpfs", "-o", "size=24m,mode=0700", "none", disk]);
  try {
    await using store = await openStore(join(disk, "store"), { minFreeBytes: -Infinity });
    await using registry = new Registry({ store });
    await (await registry.pull(`oci:${layoutPath}:small`, { profile: "oci" })).close();
    await assert.rejects(registry.pull(`oci:${layoutPath}:large`), (error) => ShaleError.is(error, "NO_SPACE"));
    await work(store, new StoreLayout(store.path));
  } finally {
    await run("umount", ["-l", disk]);
  }
}

test("`usage()` counts and `gc()` deletes the chunks of an ingest that failed on a full disk, at once and without those in use", async () => {
  await onFullDisk(async (store, layout) => {
    const before = chunkFiles(layout.root).length;
    const usage = await store.usage();
    assert.ok(usage.unused > MIB, `${usage.unused} bytes are unused`);
    const planned = await store.gc({ dryRun: true });
    assert.deepEqual([planned.bytes, chunkFiles(layout.root).length], [usage.unused, before]);
    const result = await store.gc();
    assert.deepEqual(result, planned);
    assert.equal(chunkFiles(layout.root).length, before - result.chunks);
    assert.equal((await store.usage()).unused, 0);
    assert.equal(chunkFiles(layout.root).length, 2, "the small file, in two profiles");
    assert.deepEqual((await store.gc()).chunks, 0);
    assert.deepEqual(readdirSync(layout.locks).filter((name) => name.startsWith("layer-")).length, 1, "the lock of the layer that exists");
  });
});

test("`gc()` keeps the chunks that no layer has while an ingest runs", async () => {
  await onFullDisk(async (store, layout) => {
    const before = chunkFiles(layout.root);
    const locks = readdirSync(layout.locks).filter((name) => name.startsWith("layer-"));
    const held = locks.map((name) => FileLock.try(join(layout.locks, name)));
    assert.equal((await store.gc()).chunks, 0);
    assert.equal((await store.usage()).unused, 0);
    assert.deepEqual(chunkFiles(layout.root), before);
    for (const lock of held) lock?.release();
    assert.ok((await store.gc()).chunks > 0);
  });
});

test("`gc()` deletes the lock files of removed layers, trees and images", async () => {
  await using harness = await startStore();
  const layers = Array.from({ length: 20 }, (_, n) => [{ path: `file-${n}`, content: `${n}` }]);
  const kept = await harness.pushEntries("kept", layers[0]!);
  const removed = await harness.pushEntries("removed", ...layers);
  const { manifestDigest } = await harness.pull(removed.reference);
  await harness.pull(kept.reference);
  const store = await harness.store();
  const count = (kind: string): number => readdirSync(harness.file("locks")).filter((name) => name.startsWith(`${kind}-`)).length;
  assert.deepEqual(["use", "layer", "tree", "lease"].map(count), [20, 20, 20, 2]);
  await store.remove(removed.reference);
  await store.gc({ keepYoungerMs: 0, dryRun: true });
  assert.deepEqual(["use", "layer", "tree", "lease"].map(count), [20, 20, 20, 2]);
  await store.gc({ keepYoungerMs: 0 });
  assert.deepEqual(["use", "layer", "tree", "lease"].map(count), [1, 1, 1, 2], "a lease file stays for a day");
  const lease = harness.file("locks", `lease-${manifestDigest.replace(":", "-")}`);
  const yesterday = Date.now() / 1000 - 25 * 3600;
  utimesSync(lease, yesterday, yesterday);
  await store.gc();
  assert.equal(existsSync(lease), false);
  assert.equal((await harness.pull(removed.reference)).cached, false);
  assert.equal((await harness.pull(kept.reference)).cached, true);
});

test("`isYoung()` is false for a time that is further in the future than the limit", () => {
  const minute = 60_000;
  assert.deepEqual(
    [-2, -0.5, 0, 0.5, 2].map((minutes) => isYoung(Date.now() + minutes * minute, minute)),
    [false, true, true, true, false],
  );
  assert.equal(isYoung(Date.now(), 0), false);
});

test("`gc()` removes an image that was used while the clock was a year ahead", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("app", [{ path: "a", content: "a" }]);
  const { manifestDigest } = await harness.pull(reference);
  const store = await harness.store();
  await store.remove(reference);
  const year = 365 * 24 * 3600;
  const lease = harness.file("locks", `lease-${manifestDigest.replace(":", "-")}`);
  utimesSync(lease, Date.now() / 1000 + year, Date.now() / 1000 + year);
  assert.deepEqual((await store.gc()).images, [manifestDigest]);
});
