/** What a program can see of the pulls of a store handle without being their caller. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { test } from "node:test";
import { promisify } from "node:util";
import type { GcMessage, ProgressMessage, PullMessage } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";

test("`store.counters` sums up pulls, cached pulls, failures, retries and collections of this handle alone", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("counted/image", [{ path: "a", content: "a" }], [{ path: "b", content: "b" }]);
  harness.registry.misbehave({ match: /GET .*blobs/, after: 1, action: { kind: "respond", status: 503 } });
  await harness.pull(reference);
  await harness.pull(reference);
  await harness.pull(reference, { pullPolicy: "always" });
  await assert.rejects(harness.pull("registry.invalid/nothing:x", { pullPolicy: "never" }));
  const store = await harness.store();
  const { downloadedBytes, ...rest } = store.counters;
  assert.deepEqual(rest, {
    pulls: 3,
    cachedPulls: 2,
    failedPulls: 1,
    resumedBytes: 0,
    ingestedLayers: 2,
    trees: 2,
    retries: 1,
    warnings: 0,
    collections: 0,
    removedChunks: 0,
    removedBytes: 0,
  });
  assert.equal(
    downloadedBytes,
    image.layers.reduce((sum, { size }) => sum + size, 0),
  );
  await store.remove(reference);
  await store.gc({ dryRun: true });
  assert.equal(store.counters.collections, 0);
  const result = await store.gc({ keepYoungerMs: 0 });
  assert.deepEqual(
    [store.counters.collections, store.counters.removedChunks, store.counters.removedBytes],
    [1, result.chunks, result.bytes],
  );
  assert.equal(result.chunks, 2);
  await harness.reopen();
  assert.equal((await harness.store()).counters.pulls, 0);
});

test("The channels `shale:progress`, `shale:pull` and `shale:gc` tell of every pull and collection, failures by their code", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("told/image", [{ path: "a", content: "a" }]);
  const seen = { progress: [] as ProgressMessage[], pull: [] as PullMessage[], gc: [] as GcMessage[] };
  const handlers = Object.entries(seen).map(([name, list]) => {
    const handler = (message: unknown): void => void list.push(message as never);
    subscribe(`shale:${name}`, handler);
    return () => unsubscribe(`shale:${name}`, handler);
  });
  try {
    await harness.pull(reference);
    await harness.pull(reference);
    await assert.rejects(harness.pull("Not A Reference"));
    await (await harness.store()).gc();
  } finally {
    for (const end of handlers) end();
  }
  assert.deepEqual(
    seen.pull.map(({ pull, reference: asked, cached, code, store }) => [pull, asked, cached, code, store === harness.path]),
    [
      [1, reference, false, undefined, true],
      [2, reference, true, undefined, true],
      [3, "Not A Reference", undefined, "REFERENCE_INVALID", true],
    ],
  );
  assert.ok(seen.pull.every(({ durationMs }) => durationMs > 0));
  assert.equal(seen.pull[0]?.stats?.ingestedLayers, 1);
  const kinds = (pull: number): string[] => seen.progress.filter((message) => message.pull === pull).map(({ event }) => event.kind);
  assert.deepEqual([kinds(1).at(0), kinds(1).at(-1), kinds(2), kinds(3)], ["resolving", "complete", ["complete"], ["failed"]]);
  assert.deepEqual(
    seen.gc.map(({ result }) => result.images),
    [[]],
  );
  const before = seen.progress.length;
  await harness.pull(reference);
  assert.equal(seen.progress.length, before);
});

test("`NODE_DEBUG=shale` prints the events of a pull to stderr, control characters escaped, and nothing without it", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("debugged/image", [{ path: "a", content: "a" }]);
  const program = new URL("../../src/cli/main.js", import.meta.url).pathname;
  const pull = async (debug: string): Promise<string> => {
    const args = [program, "pull", reference, "--plain-http", "--quiet", "--store", harness.file("..", `store-${debug}`)];
    return (await promisify(execFile)(process.execPath, args, { env: { ...process.env, NODE_DEBUG: debug } })).stderr;
  };
  assert.equal(await pull("other"), "");
  const lines = (await pull("shale")).trim().split("\n");
  assert.ok(
    lines.every((line) => /^SHALE \d+: \{.*\}$/.test(line)),
    lines.join("\n"),
  );
  assert.ok(lines.some((line) => line.includes('"kind":"ingest-complete"')));
  assert.ok(lines.at(-1)?.includes('"cached":false'));
});
