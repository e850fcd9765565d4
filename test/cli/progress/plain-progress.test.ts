import assert from "node:assert/strict";
import { test } from "node:test";
import { PlainProgress } from "../../../src/cli/progress/plain-progress.ts";
import { keep } from "../fake-context.ts";
import { diffId, resolved, wholeLayer } from "../../support/progress-events.ts";

test("PlainProgress writes the start and end of each step, without control characters", () => {
  const output = keep();
  const progress = new PlainProgress(output, () => 0);
  for (const event of [resolved(2), ...wholeLayer(0)]) progress.onEvent(event);
  progress.onEvent({ kind: "layer-skipped", reason: "in-store", index: 1, diffId: diffId(1) });
  const lines = output.text().split("\n");
  assert.equal(lines.length, 6);
  assert.deepEqual(lines.slice(1, 5), [
    "layer 1/2 0bbbbbbbbbbb: downloading 63.0 MB",
    "layer 1/2 0bbbbbbbbbbb: ingested 189 MB in 8,743 entries",
    "layer 1/2 0bbbbbbbbbbb: linked 8,743 entries",
    "layer 2/2 1bbbbbbbbbbb: already in the store",
  ]);
});

test("PlainProgress reports the retry of a request", () => {
  const output = keep();
  const progress = new PlainProgress(output, () => 0);
  const event = { kind: "retrying", index: 0, diffId: diffId(0), host: "h", code: "REGISTRY_ERROR", message: "no" } as const;
  progress.onEvent(resolved(1));
  for (const delayMs of [0, 1500]) progress.onEvent({ ...event, delayMs });
  assert.deepEqual(output.text().split("\n").slice(1, 3), [
    "layer 1/1 0bbbbbbbbbbb: retrying: REGISTRY_ERROR: no",
    "layer 1/1 0bbbbbbbbbbb: retrying in 1.50 s: REGISTRY_ERROR: no",
  ]);
});

test("PlainProgress reports a long download, and the whole pull, every ten seconds", () => {
  const output = keep();
  let now = 0;
  const progress = new PlainProgress(output, () => now);
  const layer = { index: 0, diffId: diffId(0), total: 600_000_000 };
  progress.onEvent({ kind: "download-started", ...layer });
  for (now = 0; now < 35_000; now += 100) progress.onEvent({ kind: "download-advanced", bytes: now * 1000, ...layer });
  const lines = output.text().trimEnd().split("\n");
  assert.equal(lines.length, 1 + 3 + 3);
  assert.deepEqual(
    lines.filter((line) => line.startsWith("total: ")),
    [
      "total: 10.0 MB of 600 MB (1%), 1.00 MB/s, about 10 min left",
      "total: 20.0 MB of 600 MB (3%), 1.00 MB/s, about 10 min left",
      "total: 30.0 MB of 600 MB (5%), 1.00 MB/s, about 10 min left",
    ],
  );
});
