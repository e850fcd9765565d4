import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProgressSummary, type ProgressEvent, type ProgressSnapshot } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";
import { blobDigest, diffId, resolved, wholeLayer } from "../support/progress-events.ts";

/** A summary with a clock that the test sets. */
class Followed {
  now = 0;
  readonly #progress = new ProgressSummary();

  apply(...events: readonly ProgressEvent[]): ProgressSnapshot {
    for (const event of events) this.#progress.update(event, this.now);
    return this.#progress.snapshot(this.now);
  }
}

function advanced(index: number, bytes: number, total = 100): ProgressEvent {
  return { kind: "download-advanced", index, diffId: diffId(index), bytes, total };
}

/** From the start of its download until it is ingested. */
function ingested(index: number, total: number): ProgressEvent[] {
  return wholeLayer(index, total).slice(0, 7);
}

test("ProgressSummary resolves first, and has nothing to fetch if the store has all layers", () => {
  const pull = new Followed();
  assert.deepEqual(pull.apply({ kind: "resolving", reference: "alpine" }), {
    phase: "resolving",
    layers: { done: 0, total: 0 },
    trees: { done: 0, total: undefined },
    entries: { ingested: 0, materialized: 0 },
    downloadedBytes: 0,
    totalBytes: 0,
    percent: undefined,
    bytesPerSecond: undefined,
    remainingMs: undefined,
  });
  pull.apply(resolved(2, 100));
  for (const index of [0, 1]) {
    pull.apply({ kind: "layer-skipped", reason: "in-store", index, diffId: diffId(index) });
    pull.apply({ kind: "tree-skipped", index, diffId: diffId(index) });
  }
  const { phase, layers, percent } = pull.apply();
  assert.deepEqual([phase, layers, percent], ["fetching", { done: 0, total: 0 }, undefined]);
});

test("ProgressSummary counts only the layers that are fetched", () => {
  const pull = new Followed();
  const begun = pull.apply(resolved(3, 100), { kind: "layer-skipped", reason: "in-store", index: 1, diffId: diffId(1) }, advanced(0, 30));
  assert.deepEqual([begun.downloadedBytes, begun.totalBytes, begun.percent, begun.layers], [30, 200, 15, { done: 0, total: 2 }]);
  const { downloadedBytes, percent, layers, entries } = pull.apply(...ingested(0, 100));
  assert.deepEqual([downloadedBytes, percent, layers, entries.ingested], [100, 50, { done: 1, total: 2 }, 8743]);
});

test("ProgressSummary fetches until the last layer is ingested, although trees of lower layers are made before", () => {
  const pull = new Followed();
  pull.apply(resolved(2, 100), ...ingested(0, 100), advanced(1, 30));
  const { phase, downloadedBytes } = pull.apply({ kind: "tree-started", index: 0, diffId: diffId(0), total: 10 });
  assert.deepEqual([phase, downloadedBytes], ["fetching", 130]);
  assert.equal(pull.apply(...ingested(1, 100)).phase, "materializing");
});

test("ProgressSummary counts a layer that the image contains twice once", () => {
  const pull = new Followed();
  const event = resolved(2, 100);
  pull.apply({ ...event, layers: [...event.layers, ...event.layers.slice(0, 1)] }, ...ingested(0, 100));
  const { downloadedBytes, totalBytes, layers } = pull.apply({ kind: "layer-skipped", reason: "in-store", index: 2, diffId: diffId(0) });
  assert.deepEqual([downloadedBytes, totalBytes, layers.total], [100, 200, 2]);
});

test("ProgressSummary counts resumed bytes as downloaded, but not in the rate", () => {
  const pull = new Followed();
  pull.apply(resolved(1, 10_000), { kind: "download-started", index: 0, diffId: diffId(0), total: 10_000 });
  assert.equal(pull.apply({ kind: "download-resumed", index: 0, diffId: diffId(0), bytes: 6000 }).downloadedBytes, 6000);
  for (const [now, bytes] of [
    [100, 1000],
    [200, 6000],
    [1200, 6500],
    [2200, 7000],
  ] as const) {
    pull.now = now;
    assert.equal(pull.apply(advanced(0, bytes, 10_000)).downloadedBytes, Math.max(6000, bytes));
  }
  const { bytesPerSecond, remainingMs } = pull.apply();
  assert.deepEqual([bytesPerSecond, remainingMs], [500, 6000]);
});

test("ProgressSummary counts a layer anew when its download starts again", () => {
  const pull = new Followed();
  const [started] = wholeLayer(0, 100);
  assert.equal(pull.apply(resolved(1, 100), started!, advanced(0, 80), started!).downloadedBytes, 0);
  assert.equal(pull.apply(advanced(0, 40)).downloadedBytes, 40);
});

test("ProgressSummary counts a layer that another process fetches, also when that process is done", () => {
  const pull = new Followed();
  assert.equal(pull.apply(resolved(2, 100), advanced(0, 60, 0)).downloadedBytes, 60);
  const done = pull.apply({ kind: "layer-skipped", reason: "ingested-elsewhere", index: 0, diffId: diffId(0) });
  assert.deepEqual([done.downloadedBytes, done.totalBytes, done.layers.done], [100, 200, 1]);
});

test("ProgressSummary knows neither total, percent nor remaining time if a layer's size is unknown", () => {
  const pull = new Followed();
  pull.apply(advanced(0, 0, 0));
  pull.now = 2000;
  const { downloadedBytes, totalBytes, percent, remainingMs, bytesPerSecond } = pull.apply(advanced(0, 1000, 0));
  assert.deepEqual([downloadedBytes, totalBytes, percent, remainingMs, bytesPerSecond], [1000, undefined, undefined, undefined, 500]);
});

test("ProgressSummary gives the rate as soon as it is known, and a new one at most once a second", () => {
  const pull = new Followed();
  pull.apply(resolved(1, 1e6));
  const rates: (number | undefined)[] = [];
  for (pull.now = 0; pull.now <= 5000; pull.now += 100) {
    const { bytesPerSecond } = pull.apply(advanced(0, pull.now * pull.now, 1e9));
    if (bytesPerSecond !== rates.at(-1)) rates.push(bytesPerSecond);
  }
  assert.ok(rates.length >= 4 && rates.length <= 6, String(rates));
});

test("ProgressSummary has a falling rate while a download stalls, and in the end no remaining time", () => {
  const pull = new Followed();
  pull.apply(resolved(1, 10_000), advanced(0, 0, 10_000));
  pull.now = 1000;
  assert.equal(pull.apply(advanced(0, 1000, 10_000)).bytesPerSecond, 1000);
  pull.now = 5000;
  const slow = pull.apply();
  assert.deepEqual([slow.bytesPerSecond, slow.remainingMs], [200, 45_000]);
  pull.now = 12_000;
  const stalled = pull.apply();
  assert.deepEqual([stalled.bytesPerSecond, stalled.remainingMs], [0, undefined]);
});

test("ProgressSummary measures trees when all layers are ingested, as many as the image has layers", () => {
  const pull = new Followed();
  pull.apply(resolved(4, 100));
  for (const index of [1, 2, 3]) pull.apply({ kind: "layer-skipped", reason: "in-store", index, diffId: diffId(index) });
  pull.apply(...wholeLayer(0, 100), { kind: "tree-skipped", index: 1, diffId: diffId(1) });
  pull.apply({ kind: "tree-started", index: 2, diffId: diffId(2), total: 10 });
  const { phase, trees, entries, percent } = pull.apply({ kind: "tree-advanced", index: 2, diffId: diffId(2), entries: 5, total: 10 });
  assert.deepEqual([phase, trees, entries.materialized, percent], ["materializing", { done: 2, total: 4 }, 8748, 62.5]);
});

test("ProgressSummary does not know the number of trees without a manifest", () => {
  const { phase, trees, percent } = new Followed().apply({ kind: "tree-started", index: 0, diffId: diffId(0), total: 10 });
  assert.deepEqual([phase, trees, percent], ["materializing", { done: 0, total: undefined }, undefined]);
});

test("ProgressSummary ends with the last event", () => {
  const complete = new Followed().apply({ kind: "complete", manifestDigest: blobDigest(0), cached: true });
  assert.deepEqual([complete.phase, complete.percent], ["complete", 100]);
  const failed = new Followed().apply(resolved(1, 100), advanced(0, 30), { kind: "failed", code: "ABORTED", message: "stopped" });
  assert.deepEqual([failed.phase, failed.percent], ["failed", 30]);
});

test("ProgressSummary of two pulls counts a layer that they share once", () => {
  const pull = new Followed();
  const { totalBytes, layers } = pull.apply(resolved(2, 100), resolved(3, 100), advanced(0, 10));
  assert.deepEqual([totalBytes, layers.total], [300, 3]);
});

test("ProgressSummary never has more bytes than its total, whatever events come in whatever order", () => {
  const events = fc.constantFrom<ProgressEvent>(
    ...[0, 1, 2].flatMap((index) => wholeLayer(index, 100)),
    ...[0, 1, 2].flatMap((index) => [
      { kind: "layer-skipped", reason: "in-store", index, diffId: diffId(index) } as const,
      { kind: "layer-skipped", reason: "ingested-elsewhere", index, diffId: diffId(index) } as const,
      { kind: "download-resumed", bytes: 70, index, diffId: diffId(index) } as const,
    ]),
  );
  const property = fc.property(fc.array(events), (some) => {
    const { downloadedBytes, totalBytes = -1, percent = 0 } = new Followed().apply(resolved(3, 100), ...some);
    return downloadedBytes >= 0 && downloadedBytes <= totalBytes && percent >= 0 && percent <= 100;
  });
  fc.assert(property);
});

test("ProgressSummary.update is an `onProgress` function: a real pull ends with all layers and trees", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("summary/app", [{ path: "a", content: "a" }], [{ path: "b", content: "b" }]);
  const progress = new ProgressSummary();
  await harness.pull(reference, { onProgress: progress.update });
  const { phase, layers, trees, downloadedBytes, percent } = progress.snapshot();
  const bytes = image.layers.reduce((sum, { size }) => sum + size, 0);
  assert.deepEqual([phase, layers, trees, percent], ["complete", { done: 2, total: 2 }, { done: 2, total: 2 }, 100]);
  assert.equal(downloadedBytes, bytes);
});
