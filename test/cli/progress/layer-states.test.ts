import assert from "node:assert/strict";
import { test } from "node:test";
import { LayerStates } from "../../../src/cli/progress/layer-states.ts";
import { blobDigest, diffId, resolved, wholeLayer } from "../../support/progress-events.ts";

test("LayerStates shows a layer waiting, downloading, ingesting, linking, then done", () => {
  const states = new LayerStates(() => 0);
  const kinds: (string | undefined)[] = [];
  for (const event of [resolved(1), ...wholeLayer(0)]) {
    states.apply(event);
    const { kind } = states.rows[0]?.state ?? {};
    if (kind !== kinds.at(-1)) kinds.push(kind);
  }
  assert.deepEqual(kinds, ["waiting", "downloading", "ingesting", "ready", "linking", "done"]);
  assert.equal(states.rows[0]?.digest, blobDigest(0));
});

test("LayerStates keeps the origin of a layer", () => {
  const states = new LayerStates(() => 0);
  const layer = { index: 0, diffId: diffId(0) };
  for (const event of [resolved(1), { kind: "layer-skipped", reason: "ingested-elsewhere", ...layer } as const]) states.apply(event);
  states.apply({ kind: "tree-skipped", ...layer });
  assert.deepEqual(states.rows[0]?.state, { kind: "done", how: "ingested-elsewhere", bytes: 0 });
});

test("LayerStates has one row for a layer that the image contains twice", () => {
  const states = new LayerStates(() => 0);
  const event = resolved(2);
  states.apply({ ...event, layers: [...event.layers, ...event.layers.slice(0, 1)] });
  assert.deepEqual(
    states.rows.map(({ index }) => index),
    [0, 1],
  );
});

test("LayerStates has rows for layers without a manifest, bottom first", () => {
  const states = new LayerStates(() => 0);
  for (const index of [1, 0]) states.apply({ kind: "tree-started", index, diffId: diffId(index), total: 10 });
  assert.deepEqual(
    states.rows.map(({ digest }) => digest),
    [diffId(0), diffId(1)],
  );
});

test("LayerStates gives the rate of the last seconds, not of the whole download", () => {
  let now = 0;
  const states = new LayerStates(() => now);
  const layer = { index: 0, diffId: diffId(0), total: 1e9 };
  for (const [at, bytes] of [
    [0, 0],
    [10_000, 1_000_000],
    [15_000, 6_000_000],
    [20_000, 11_000_000],
  ] as const) {
    now = at;
    states.apply({ kind: "download-advanced", bytes, ...layer });
  }
  assert.equal(states.rows[0]?.rate, 1_000_000);
});
