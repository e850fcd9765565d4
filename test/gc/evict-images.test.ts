import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { GcResult } from "../../src/index.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

const NOW = { keepYoungerMs: 0 } as const;

async function push(harness: StoreHarness, name: string): Promise<string> {
  return (await harness.pushEntries(name, [{ path: name, content: name.padEnd(1000, name) }])).reference;
}

async function namesOf(harness: StoreHarness): Promise<string[]> {
  const images = await (await harness.store()).images();
  return images
    .flatMap(({ reasons }) => reasons.flatMap((reason) => (reason.kind === "reference" ? [reason.reference] : [])))
    .map((reference) => reference.replace(/^.*\/(.*):.*$/, "$1"))
    .sort();
}

test("`openStore({ maxBytes })` evicts the least recently used image after a pull and reports it", async () => {
  const evicted: GcResult[] = [];
  await using harness = await startStore({ store: { maxBytes: 3000, keepYoungerMs: 0, onEvicted: (result) => evicted.push(result) } });
  const references: string[] = [];
  for (const name of ["a", "b", "c"]) references.push(await push(harness, name));
  for (const reference of references) await harness.pull(reference);
  await harness.reopen();
  assert.deepEqual([evicted.length, await namesOf(harness)], [0, ["a", "b", "c"]]);
  // a cached pull does not check the budget, but counts as a use
  await harness.pull(references[0]!);
  await harness.pull(await push(harness, "d"));
  await harness.reopen();
  assert.deepEqual(await namesOf(harness), ["a", "c", "d"]);
  assert.deepEqual(
    evicted.map((result) => [result.references.map(({ reference }) => reference), result.bytes, result.remainingBytes]),
    [[[references[1]], 1000, 3000]],
  );
});

test("`openStore({ maxBytes })` does not check the budget on a cached pull or in `image()`", async () => {
  await using harness = await startStore({ store: { keepYoungerMs: 0 } });
  const [a, b] = [await push(harness, "a"), await push(harness, "b")];
  await harness.pull(a);
  await harness.pull(b);
  await harness.reopen();
  const { openStore, Registry } = await import("../../src/index.ts");
  {
    await using store = await openStore(harness.path, { maxBytes: 1000, keepYoungerMs: 0 });
    await using registry = new Registry({ store, plainHttp: true, credentials: "anonymous", hostDirectories: [] });
    await (await registry.pull(a)).close();
    await (await store.image(b))?.close();
  }
  assert.deepEqual(await namesOf(harness), ["a", "b"]);
});

test("`openStore({ maxBytes })` keeps open, leased and pinned images, and evicts them once they are free", async () => {
  await using harness = await startStore({ store: { maxBytes: 0, keepYoungerMs: 0 } });
  const store = await harness.store();
  const client = await harness.client();
  const open = await client.pull(await push(harness, "open"));
  const leased = await client.pull(await push(harness, "leased"));
  await store.lease("one", leased);
  await leased.close();
  const pinned = await client.pull(await push(harness, "pinned"));
  await store.pin(pinned.reference);
  await pinned.close();
  await harness.pull(await push(harness, "last"));
  await harness.reopen();
  assert.deepEqual(await namesOf(harness), ["leased", "open", "pinned"]);
  await open.close();
  await harness.pull(await push(harness, "later"));
  await harness.reopen();
  assert.deepEqual(await namesOf(harness), ["leased", "pinned"]);
});

test("`gc({ keepBytes, dryRun })` predicts exactly what is removed, shared chunks included", async () => {
  await using harness = await startStore();
  const common = [{ path: "common", content: "in both".repeat(100) }];
  const references: string[] = [];
  for (const name of ["a", "b", "c"]) {
    const own = [
      { path: name, content: name.repeat(500) },
      { path: "pair", content: name === "c" ? "alone" : "in a and b".repeat(10) },
    ];
    references.push((await harness.pushEntries(name, common, own)).reference);
    await harness.pull(references.at(-1)!);
  }
  const store = await harness.store();
  const total = 700 + 3 * 500 + 100 + 5;
  assert.equal((await store.usage()).bytes, total);
  const before = harness.list();
  for (const keepBytes of [total, total - 1, total - 501, 0]) {
    const planned = await store.gc({ ...NOW, keepBytes, dryRun: true });
    const images = { [total]: 0, [total - 1]: 1, [total - 501]: 2, 0: 3 }[keepBytes];
    assert.equal(planned.images.length, images, `${keepBytes}`);
    assert.equal(planned.remainingBytes, total - planned.bytes);
  }
  assert.deepEqual(harness.list(), before);
  const planned = await store.gc({ ...NOW, keepBytes: total - 501, dryRun: true });
  assert.equal(planned.bytes, 2 * 500 + 100);
  assert.deepEqual(await store.gc({ ...NOW, keepBytes: total - 501 }), planned);
  assert.deepEqual(await store.gc({ ...NOW, keepBytes: 0, dryRun: true }), await store.gc({ ...NOW, keepBytes: 0 }));
  assert.deepEqual(await store.usage(), {
    images: [],
    layers: [],
    chunks: 0,
    bytes: 0,
    unused: 0,
    blobs: 0,
    blobBytes: 0,
    downloadBytes: 0,
    trees: 0,
  });
});

test("`gc({ keepBytes })` counts correctly after layers were removed and ingested again, and after the catalog was lost", async () => {
  await using harness = await startStore();
  const [a, b] = [await push(harness, "a"), await push(harness, "b")];
  await harness.pull(a);
  await harness.pull(b);
  const remaining = async (): Promise<number | undefined> => (await (await harness.store()).gc({ ...NOW, keepBytes: 1e9 })).remainingBytes;
  assert.equal(await remaining(), 2000);
  await (await harness.store()).remove(a);
  assert.equal(await remaining(), 1000);
  await harness.pull(a);
  await harness.pull(b, { force: true });
  assert.equal(await remaining(), 2000);
  await harness.reopen();
  const { rmSync } = await import("node:fs");
  rmSync(harness.file("db"), { recursive: true });
  assert.equal(await remaining(), 2000);
});

test("`gc()` removes and counts kept blobs of removed images, and keeps those of the others", async () => {
  await using harness = await startStore({ client: { keepBlobs: true } });
  const [a, b] = [await push(harness, "a"), await push(harness, "b")];
  await harness.pull(a);
  await harness.pull(b);
  const store = await harness.store();
  const sizes = (): number => readdirSync(harness.file("blobs")).length;
  assert.equal(sizes(), 2);
  const { blobs, blobBytes } = await store.usage();
  assert.equal(blobs, 2);
  await store.remove(a);
  const planned = await store.gc({ ...NOW, dryRun: true });
  assert.equal(sizes(), 2);
  const result = await store.gc(NOW);
  assert.deepEqual([planned.blobs, planned.blobBytes], [result.blobs, result.blobBytes]);
  assert.deepEqual([result.blobs.length, sizes()], [1, 1]);
  assert.equal((await store.usage()).blobBytes, blobBytes - result.blobBytes);
  assert.equal((await store.gc({ ...NOW, keepBytes: 1000 })).images.length, 1, "a blob counts: 1000 bytes are not enough");
  assert.equal(sizes(), 0);
});

test("`gc()` removes downloads that were interrupted more than a day ago, and keeps younger ones", async () => {
  await using harness = await startStore();
  const store = await harness.store();
  const directory = harness.file("staging", "downloads");
  mkdirSync(directory, { recursive: true });
  const [old, young] = ["a", "b"].map((digit) => `sha256-${digit.repeat(64)}`) as [string, string];
  for (const name of [old, young]) writeFileSync(join(directory, name), "12345");
  const yesterday = Date.now() / 1000 - 25 * 3600;
  utimesSync(join(directory, old), yesterday, yesterday);
  assert.equal((await store.usage()).downloadBytes, 10);
  for (const dryRun of [true, false]) {
    assert.equal(existsSync(join(directory, old)), true);
    const { downloads, blobBytes } = await store.gc({ dryRun });
    assert.deepEqual([downloads, blobBytes], [[old.replace("-", ":")], 5]);
  }
  assert.deepEqual(readdirSync(directory), [young]);
});
