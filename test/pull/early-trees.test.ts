/** Trees of the lower layers are made while the upper ones still come. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ProgressEvent } from "../../src/index.ts";
import { EarlyTrees, type EarlyTreesOptions } from "../../src/pull/early-trees.ts";
import { Holds } from "../../src/pull/holds.ts";
import { Store } from "../../src/api/store.ts";
import { ProgressRelay } from "../../src/pull/progress-relay.ts";
import { startStore } from "../support/store-harness.ts";

const LOWER = [[{ path: "bottom", content: "bottom" }], [{ path: "middle", content: "middle" }]];
const TOP = [{ path: "top", content: randomBytes(1_000_000) }];

test("`pull()` makes the trees of the lower layers while the upper one has not come", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("some/image", ...LOWER, TOP);
  harness.registry.misbehave({ match: new RegExp(image.layers[2]!.digest), action: { kind: "stall", after: 400_000 } });
  const abort = new AbortController();
  const seen: string[] = [];
  const onProgress = (event: ProgressEvent): void => {
    if (event.kind === "tree-complete") seen.push(`tree ${event.index}`);
    if (event.kind === "ingest-complete") seen.push(`layer ${event.index}`);
    if (seen.includes("tree 0") && seen.includes("tree 1")) abort.abort("both are there");
  };
  const client = await harness.client();
  await assert.rejects(client.pull(reference, { signal: abort.signal, onProgress }), (error: unknown) => error === "both are there");
  assert.deepEqual(seen.toSorted(), ["layer 0", "layer 1", "tree 0", "tree 1"]);
  assert.equal(readdirSync(harness.file("trees")).length, 2);
  assert.deepEqual(harness.staged(), []);
  const { layers } = await harness.pull(reference);
  assert.ok(readFileSync(join(layers[2]!, "top")).equals(TOP[0]!.content));
});

test("`pull()` with lazy trees or force makes none before all layers are there", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("some/image", ...LOWER, TOP);
  for (const options of [{ materialize: "lazy" }, { force: true }] as const) {
    const { events } = await harness.watch(reference, options);
    const kinds = events.map(({ kind }) => kind);
    const firstTree = kinds.indexOf("tree-started");
    if ("force" in options) assert.ok(firstTree > kinds.lastIndexOf("ingest-complete"));
    else assert.equal(firstTree, -1);
  }
  assert.equal(image.layers.length, 3);
});

test("`pull()` heals what the making of a lower tree finds damaged while the upper layer comes", async () => {
  await using harness = await startStore();
  const { reference: lower } = await harness.pushEntries("lower/image", ...LOWER);
  await harness.pull(lower, { materialize: "lazy" });
  for (const shard of readdirSync(harness.file("chunks"))) rmSync(harness.file("chunks", shard), { recursive: true });
  await harness.reopen();
  const { reference, image } = await harness.pushEntries("some/image", ...LOWER, TOP);
  harness.registry.misbehave({ match: new RegExp(image.layers[2]!.digest), action: { kind: "drip", bytes: 50_000, everyMs: 5 } });
  const { image: pulled, events, error } = await harness.watch(reference);
  assert.equal(error, undefined, String(error));
  assert.ok(events.some((event) => event.kind === "warning" && event.code === "STORE_DAMAGED"));
  assert.equal(readFileSync(join(pulled!.layers[0]!, "bottom"), "utf8"), "bottom");
  assert.equal(readFileSync(join(pulled!.layers[1]!, "middle"), "utf8"), "middle");
  assert.deepEqual(harness.staged(), []);
});

test("`EarlyTrees` tells its owner what fails between two trees, and nobody else", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("some/image", ...LOWER, TOP);
  await harness.pull(reference, { materialize: "lazy" });
  const store = await Store.internals(await harness.store()).session.whole();
  using holds = new Holds();
  const failures: unknown[] = [];
  const diffIds = image.layers.map(({ diffId }) => diffId);
  const options: EarlyTreesOptions = {
    store,
    profile: store.profile,
    force: false,
    relay: new ProgressRelay(undefined),
    holds,
    signal: new AbortController().signal,
    diffIds,
    onFailure: (error) => failures.push(error),
  };
  const trees = new EarlyTrees(options);
  trees.ready(diffIds[0]!);
  const record = store.layout.layerRecord(diffIds[1]!);
  rmSync(record);
  mkdirSync(record);
  trees.ready(diffIds[1]!);
  for (let tries = 0; failures.length === 0 && tries < 100; tries++) await delay(10);
  await trees.end();
  assert.deepEqual(
    failures.map((error) => (error as NodeJS.ErrnoException).code),
    ["EISDIR"],
  );
});
