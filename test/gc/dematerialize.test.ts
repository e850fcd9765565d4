import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ShaleError } from "../../src/index.ts";
import { startChild } from "../support/start-child.ts";
import { run } from "../support/run.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

async function twoImages(harness: StoreHarness): Promise<[string, string]> {
  const common = [{ path: "common", content: "in both" }];
  const first = await harness.pushEntries("first", common, [{ path: "first", content: "1" }]);
  const second = await harness.pushEntries("second", common, [{ path: "second", content: "2" }]);
  return [first.reference, second.reference];
}

test("`image.dematerialize()` drops the image's trees and keeps its chunks; `materialize()` makes them again without a registry", async () => {
  await using harness = await startStore();
  const [first] = await twoImages(harness);
  await using image = await (await harness.client()).pull(first);
  const chunks = readdirSync(harness.file("chunks")).flatMap((name) => readdirSync(harness.file("chunks", name)));
  const { trees, inUse } = await image.dematerialize();
  assert.deepEqual([trees.length, inUse], [2, []]);
  assert.deepEqual(
    image.layers.map((layer) => existsSync(layer)),
    [false, false],
  );
  assert.deepEqual(
    readdirSync(harness.file("chunks")).flatMap((name) => readdirSync(harness.file("chunks", name))),
    chunks,
  );
  assert.equal((await image.readFile("common")).toString(), "in both");
  await harness.registry.close();
  await image.materialize();
  assert.equal(readFileSync(join(image.layers[0]!, "common"), "utf8"), "in both");
  await image.close();
  await assert.rejects(image.dematerialize(), (error) => ShaleError.is(error, "STORE_CLOSED"));
});

test("`image.dematerialize()` keeps trees that another handle of any process uses, and keeps its own lease", async () => {
  await using harness = await startStore();
  const [first, second] = await twoImages(harness);
  const client = await harness.client();
  await using image = await client.pull(first);
  {
    await using other = await client.pull(second);
    void other;
    const { trees, inUse } = await image.dematerialize();
    assert.deepEqual([trees.length, inUse.map(({ reason }) => reason.kind)], [1, ["handle"]]);
    assert.deepEqual(
      image.layers.map((layer) => existsSync(layer)),
      [true, false],
    );
  }
  const child = startChild({ store: harness.path, references: [first], leaveOpen: true });
  await child.result;
  await image.materialize();
  await using again = await client.pull(first);
  const kept = await image.dematerialize();
  assert.deepEqual([kept.trees, kept.inUse.length], [[], 2]);
  await again.close();
  const store = await harness.store();
  await store.remove(first);
  assert.deepEqual((await store.gc({ keepYoungerMs: 0 })).images, [], "the lease is held throughout");
});

test("`image.dematerialize()` never makes the image unavailable, however long it takes", async () => {
  await using harness = await startStore();
  const directories = Array.from({ length: 8000 }, (_, index) => ({ path: `d${index}`, type: "directory" }) as const);
  const { reference } = await harness.pushEntries("many/directories", directories);
  await using image = await (await harness.client()).pull(reference);
  const store = await harness.store();
  const ended = new AbortController();
  const dropping = image.dematerialize().finally(() => ended.abort());
  while (existsSync(image.layers[0]!)) await delay(1);
  let looks = 0;
  for (; !ended.signal.aborted; looks++) {
    const found = await store.image(reference, { materialize: "lazy" });
    assert.ok(found);
    await found.close();
    await delay(1);
  }
  assert.ok(looks > 0);
  assert.equal((await dropping).trees.length, 1);
});

test("`store.dematerialize()` keeps leased and mounted trees, and the next pull makes the dropped ones again", async () => {
  await using harness = await startStore();
  const [first, second] = await twoImages(harness);
  const image = await harness.pull(first);
  await harness.pull(second);
  const store = await harness.store();
  const target = join(harness.path, "..", "mounted");
  mkdirSync(target);
  await run("mount", ["--bind", image.layers[1]!, target]);
  try {
    assert.deepEqual(
      (await store.dematerialize(first))?.inUse.map(({ reason }) => reason.kind),
      ["mount"],
    );
  } finally {
    await run("umount", [target]);
  }
  await using held = await (await harness.client()).pull(second);
  await store.lease("kept", held);
  await held.close();
  assert.equal((await harness.pull(first)).cached, true);
  const result = await store.dematerialize(first);
  assert.deepEqual([result?.trees.length, result?.inUse.map(({ reason }) => reason.kind)], [1, ["lease"]]);
  await store.release("kept");
  assert.equal((await store.dematerialize(first))?.trees.length, 1);
  const again = await harness.pull(first, { pullPolicy: "never" });
  assert.equal(again.cached, true);
  assert.equal(readFileSync(join(again.layers[1]!, "first"), "utf8"), "1");
  assert.equal(await store.dematerialize("docker.io/library/absent:1"), undefined);
});

test("`gc({ trees: true })` drops unused trees, as its dry run says, and reports the trees in use", async () => {
  await using harness = await startStore();
  const [first, second] = await twoImages(harness);
  await using image = await (await harness.client()).pull(first);
  void image;
  await harness.pull(second);
  const store = await harness.store();
  assert.deepEqual(
    (await store.gc({ trees: true })).treesInUse.map(({ reason }) => reason.kind),
    ["young", "young", "young"],
  );
  const planned = await store.gc({ trees: true, keepYoungerMs: 0, dryRun: true });
  assert.equal(readdirSync(harness.file("trees")).length, 3);
  const result = await store.gc({ trees: true, keepYoungerMs: 0 });
  assert.deepEqual(planned, result);
  assert.deepEqual([result.images, result.trees.length, result.treesInUse.map(({ reason }) => reason.kind)], [[], 1, ["handle", "handle"]]);
  assert.equal(readdirSync(harness.file("trees")).length, 2);
  assert.equal((await harness.pull(second)).cached, true);
});
