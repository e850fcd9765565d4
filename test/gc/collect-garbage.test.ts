import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { removeImage } from "../../src/gc/remove-objects.ts";
import { emptyTally } from "../../src/gc/gc-result.ts";
import { readImages } from "../../src/inspect/roots.ts";
import { DeletionQueue } from "../../src/gc/deletion-queue.ts";
import { UseCounts } from "../../src/gc/use-counts.ts";
import { parseDiffId } from "../../src/image/digest.ts";
import type { GcResult } from "../../src/index.ts";
import { Store } from "../../src/api/store.ts";
import { parseTreeId } from "../../src/store/ids.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { layer, startStore, type StoreHarness } from "../support/store-harness.ts";

const NOW = { keepYoungerMs: 0 } as const;

async function twoImages(harness: StoreHarness): Promise<{ first: string; second: string }> {
  const common = [
    { path: "common/a", content: "a in both" },
    { path: "common/b", content: "b in both" },
  ];
  const first = await harness.pushEntries("first", common, [{ path: "first", content: "only in the first" }]);
  const second = await harness.pushEntries("second", common, [
    { path: "copy-of-a", content: "a in both" },
    { path: "second", content: "only in the second" },
  ]);
  return { first: first.reference, second: second.reference };
}

function isHeld(path: string): boolean {
  const lock = FileLock.try(path);
  lock?.release();
  return lock === undefined;
}

function chunkFiles(harness: StoreHarness): string[] {
  const directory = harness.file("chunks");
  return readdirSync(directory).flatMap((prefix) => readdirSync(join(directory, prefix)).map((name) => prefix + name));
}

test("`gc()` removes nothing while references name every image", async () => {
  await using harness = await startStore();
  const { first, second } = await twoImages(harness);
  await harness.pull(first);
  await harness.pull(second);
  const before = harness.list();
  const result = await (await harness.store()).gc(NOW);
  const nothing = { images: [], references: [], layers: [], trees: [], treesInUse: [], blobs: [], downloads: [] };
  assert.deepEqual(result, { ...nothing, chunks: 0, bytes: 0, blobBytes: 0 } satisfies GcResult);
  assert.deepEqual(harness.list(), before);
});

test("`gc()` removes the objects that only a removed image had, and keeps the other image whole", async () => {
  await using harness = await startStore();
  const { first, second } = await twoImages(harness);
  await harness.pull(first);
  const kept = await harness.pull(second);
  const store = await harness.store();
  assert.equal(await store.remove(first), true);
  assert.equal(await store.remove(first), false);
  const planned = await store.gc({ ...NOW, dryRun: true });
  const result = await store.gc(NOW);
  assert.equal(result.images.length, 1);
  assert.equal(result.layers.length, 1);
  assert.equal(result.trees.length, 1);
  assert.equal(result.chunks, 1);
  assert.equal(result.bytes, "only in the first".length);
  assert.deepEqual(planned, result);
  assert.equal(readFileSync(join(kept.layers[0]!, "common/a"), "utf8"), "a in both");
  assert.equal((await harness.pull(second)).cached, true);
  const again = await harness.pull(first);
  assert.deepEqual([again.cached, again.stats.ingestedLayers], [false, 1]);
});

test("`gc()` removes every chunk with the last image, in every profile and ordinal", async () => {
  await using harness = await startStore();
  const entries = [0, 1, 2].map((n) => ({ path: `equal-${n}`, content: "the same", mode: 0o4755, uid: 7 }));
  const { reference } = await harness.pushEntries(
    "app",
    entries,
    entries.map((entry) => ({ ...entry, path: `upper/${entry.path}` })),
  );
  for (const profile of ["overlay", "userxattr", "oci"] as const) await harness.pull(reference, { profile });
  assert.equal(chunkFiles(harness).length, 18);
  const store = await harness.store();
  await store.remove(reference);
  const result = await store.gc(NOW);
  assert.equal(result.layers.length, 2);
  assert.deepEqual(chunkFiles(harness), []);
  assert.deepEqual(readdirSync(harness.file("trees")), []);
  assert.deepEqual(readdirSync(harness.file("layers")), []);
  for (const kind of ["manifests", "configs", "records", "references"]) assert.deepEqual(readdirSync(harness.file("images", kind)), []);
  assert.deepEqual(harness.staged(), []);
});

test("`gc()` removes every chunk of a layer with thousands of files, and of a file that occurs a thousand times", async () => {
  await using harness = await startStore();
  const many = Array.from({ length: 3000 }, (_, n) => ({ path: `${n}`, content: `${n % 2900}`, mtime: 1 }));
  const equal = Array.from({ length: 1200 }, (_, n) => ({ path: `equal/${n}`, content: "the same", mtime: 1 }));
  const { reference } = await harness.pushEntries("app", many, equal);
  for (const profile of ["overlay", "oci"] as const) await harness.pull(reference, { profile });
  const files = chunkFiles(harness);
  assert.equal(files.length, 2 * 4200);
  // an ordinal as EMLINK makes it, and a foreign file
  const [first = ""] = files;
  writeFileSync(harness.file("chunks", first.slice(0, 2), `${first.slice(2, 32)}.1000000`), "");
  writeFileSync(harness.file("chunks", first.slice(0, 2), "strange"), "");
  const store = await harness.store();
  await store.remove(reference);
  const result = await store.gc(NOW);
  assert.deepEqual([result.layers.length, result.chunks], [2, 2901]);
  assert.deepEqual(chunkFiles(harness), [`${first.slice(0, 2)}strange`]);
  assert.deepEqual(harness.staged(), []);
});

test("`gc()` keeps an image that a handle or a named lease keeps, and one that was used recently", async () => {
  await using harness = await startStore();
  const { first } = await twoImages(harness);
  const store = await harness.store();
  const image = await (await harness.client()).pull(first);
  await store.remove(first);
  assert.deepEqual((await store.gc(NOW)).images, []);
  await store.lease("sandbox-42", image);
  await image.close();
  assert.deepEqual((await store.gc(NOW)).images, []);
  assert.deepEqual(
    (await store.images()).map(({ reasons }) => reasons),
    [[{ kind: "lease", name: "sandbox-42" }]],
  );
  await harness.reopen();
  const reopened = await harness.store();
  assert.deepEqual((await reopened.gc(NOW)).images, []);
  assert.equal(await reopened.release("sandbox-42"), true);
  assert.deepEqual((await reopened.gc()).images, [], "young");
  assert.equal((await reopened.gc(NOW)).images.length, 1);
  assert.equal(existsSync(image.layers[0]!), false);
});

test("`gc()` ignores an expired lease", async () => {
  await using harness = await startStore();
  const { first } = await twoImages(harness);
  const store = await harness.store();
  await using image = await (await harness.client()).pull(first);
  await store.lease("brief", image, { ttlMs: 1 });
  await sleep(5);
  await store.remove(first);
  await image.close();
  assert.equal((await store.gc(NOW)).images.length, 1);
});

test("`gc({ keepBytes })` removes the least recently used image until the rest fits", async () => {
  await using harness = await startStore();
  const references: string[] = [];
  for (const name of ["old", "middle", "new"]) {
    const { reference } = await harness.pushEntries(name, [{ path: name, content: name.repeat(1000) }]);
    references.push(reference);
    await harness.pull(reference);
  }
  await harness.pull(references[0]!);
  const result = await (await harness.store()).gc({ ...NOW, keepBytes: 7000 });
  assert.equal(result.images.length, 1);
  const cached = [];
  for (const reference of references) cached.push((await (await harness.store()).image(reference)) !== undefined);
  assert.deepEqual(cached, [true, false, true]);
});

test("`gc()` finishes an interrupted removal, and adds layers that the catalog lost", async () => {
  await using harness = await startStore();
  const { first, second } = await twoImages(harness);
  await harness.pull(first);
  const kept = await harness.pull(second);
  const store = await harness.store();
  await store.remove(first);
  await assert.rejects(store.gc({ ...NOW, signal: AbortSignal.abort(new Error("interrupted")) }), /interrupted/);
  await harness.reopen();
  rmSync(harness.file("db"), { recursive: true });
  const result = await (await harness.store()).gc(NOW);
  assert.equal(result.chunks, 1);
  assert.equal(readFileSync(join(kept.layers[1]!, "copy-of-a"), "utf8"), "a in both");
});

test("`gc()` finishes a removal that was interrupted after the sidecar was deleted, but not while a pull ingests the layer again", async () => {
  await using harness = await startStore();
  const { first } = await twoImages(harness);
  await harness.pull(first);
  const store = await harness.store();
  const [name = ""] = readdirSync(harness.file("layers"));
  const hex = name.slice("sha256-".length);
  const removed = harness.file("staging", `removed-${hex}`);
  renameSync(harness.file("layers", name), removed);
  const pulling = FileLock.try(harness.file("locks", `use-${hex}`), "shared");
  assert.ok(pulling);
  assert.equal((await store.gc({})).chunks, 0);
  assert.ok(existsSync(join(removed, "sidecar")));
  pulling.release();
  rmSync(join(removed, "sidecar"));
  await store.gc({});
  assert.ok(!existsSync(removed));
});

test("`UseCounts.refresh()` counts records written since, and `drop()` returns what only the dropped image had", async () => {
  await using harness = await startStore();
  const { first, second } = await twoImages(harness);
  const context = await Store.internals(await harness.store()).session.whole();
  const uses = new UseCounts(context);
  for (const reference of [first, second]) {
    const { manifestDigest, layers } = await harness.pull(reference);
    const record = context.images.record(manifestDigest)!;
    const { diffId } = record.layers[1]!;
    const tree = parseTreeId(basename(layers[1]!))!;
    assert.deepEqual([uses.has(diffId), uses.has(tree)], [false, false]);
    uses.refresh();
    assert.deepEqual([uses.has(diffId), uses.has(tree)], [true, true]);
  }
  const [record] = context.images.records().map((digest) => context.images.record(digest)!);
  const unused = uses.drop(record!.manifestDigest);
  assert.deepEqual(unused.layers, [record!.layers[1]!.diffId]);
  assert.equal(uses.has(record!.layers[0]!.diffId), true, "the other image has it too");
  uses.refresh();
  assert.equal(uses.has(record!.layers[1]!.diffId), false, "a dropped image stays dropped although its record exists");
});

test("`usage()` reports what each image has alone and what it shares", async () => {
  await using harness = await startStore();
  const { first, second } = await twoImages(harness);
  await harness.pull(first);
  await harness.pull(second);
  const { images, bytes, unused } = await (await harness.store()).usage();
  const common = "a in both".length + "b in both".length;
  const sizes = images.map(({ alone, shared }) => [alone, shared]).sort((a, b) => a[0]! - b[0]!);
  assert.deepEqual(sizes, [
    ["only in the first".length, common],
    ["only in the second".length, common],
  ]);
  assert.equal(bytes, common + "only in the first".length + "only in the second".length);
  assert.equal(unused, 0);
});

test("`gc()` keeps a native inode of one layer that is also a form of a removed layer's file in another profile", async () => {
  await using harness = await startStore();
  const { uid, gid } = { uid: process.geteuid!(), gid: process.getegid!() };
  const file = { path: "f", content: "the same", mode: 0o644, uid, gid };
  const plain = await harness.pushEntries("plain", [file]);
  const dressed = await harness.pushEntries("dressed", [
    { ...file, xattrs: { "user.containers.override_stat": `${uid}:${gid}:644:file` } },
  ]);
  await harness.pull(plain.reference, { profile: "userxattr" });
  const kept = await harness.pull(dressed.reference);
  assert.equal(chunkFiles(harness).length, 2, "the form of one file is the native inode of the other");
  const store = await harness.store();
  await store.remove(plain.reference);
  assert.equal((await store.gc(NOW)).chunks, 1);
  assert.equal(chunkFiles(harness).length, 1);
  await store.dematerialize(dressed.reference);
  const again = await harness.pull(dressed.reference, { pullPolicy: "never" });
  assert.equal(readFileSync(join(again.layers[0]!, "f"), "utf8"), "the same");
  assert.deepEqual(again.layers, kept.layers);
});

/** Pushes two manifests with the same config. */
async function inTwoForms(harness: StoreHarness): Promise<string[]> {
  const entries = [{ path: "file", content: "the same" }];
  const forms = [await layer(entries, { compression: "gzip" }), await layer(entries, { compression: "none" })];
  return forms.map((form, index) => harness.push(`form/${index}`, [form]).reference);
}

test("`removeImage()` keeps a config that another image has used since", async () => {
  await using harness = await startStore();
  const [first, second] = await inTwoForms(harness);
  const { manifestDigest } = await harness.pull(first!);
  const core = await Store.internals(await harness.store()).session.whole();
  const images = readImages(core, 0);
  const known = images.get(manifestDigest)!;
  await using deletions = new DeletionQueue(core.pool);
  const collection = { images, uses: new UseCounts(core), options: NOW, tally: emptyTally(), removedLayers: new Set<never>(), deletions };
  await harness.pull(second!);
  assert.ok(removeImage(core, collection, known));
  assert.ok(existsSync(core.layout.config(known.record.configDigest)));
  assert.ok(!existsSync(core.layout.manifest(manifestDigest)));
});

test("`pull()` writes the config that it found in the store if it was removed with another image meanwhile", async () => {
  await using harness = await startStore();
  const [first, second] = await inTwoForms(harness);
  const { manifestDigest } = await harness.pull(first!);
  const core = await Store.internals(await harness.store()).session.whole();
  const config = core.layout.config(core.images.record(manifestDigest)!.configDigest);
  const image = await (
    await harness.client()
  ).pull(second!, {
    onProgress: ({ kind }) => {
      if (kind === "tree-skipped") rmSync(config);
    },
  });
  await image.close();
  assert.notEqual(image.manifestDigest, manifestDigest);
  assert.ok(existsSync(config));
});

test("`gc()` keeps a chunk that a layer announces between the catalog lookup and the sweep", async () => {
  await using harness = await startStore();
  const { first } = await twoImages(harness);
  await harness.pull(first);
  const store = await harness.store();
  const { layout, superblock, pool, catalog, layers } = await Store.internals(store).session.whole();
  const claims = await Promise.all(
    layers.list().map(async (diffId) => {
      const request = { sidecar: layers.sidecarPath(diffId), native: superblock.profile, owner: superblock.owner };
      return {
        diffId: parseDiffId(`sha256:${createHash("sha256").update(diffId).digest("hex")}`),
        inodes: await pool.run("tree/inodes", request),
      };
    }),
  );
  const chunks = chunkFiles(harness);
  assert.equal(await store.remove(first), true);
  const sweep = await FileLock.acquire(layout.lock("sweep"));
  const collecting = store.gc(NOW);
  // gc holds the catalog and waits for the sweep lock
  while (!isHeld(layout.lock("db"))) await sleep(5);
  await sleep(100);
  for (const claim of claims) catalog.announce(claim, join(layout.staging, `edges-${claim.diffId.slice(7, 20)}`));
  sweep.release();
  assert.equal((await collecting).chunks, 0);
  assert.deepEqual(chunkFiles(harness), chunks);
});
