import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { layerLines } from "../../../src/cli/progress/layer-lines.ts";
import { LayerStates } from "../../../src/cli/progress/layer-states.ts";
import type { ProgressEvent } from "../../../src/index.ts";
import { diffId, resolved, wholeLayer } from "../../support/progress-events.ts";

function rowsAfter(events: readonly ProgressEvent[]): LayerStates["rows"] {
  let now = 0;
  const states = new LayerStates(() => (now += 500));
  for (const event of events) states.apply(event);
  return states.rows;
}

test("layerLines() returns one line per layer, within 80 columns, in every state", () => {
  const size = { width: 79, height: 23 };
  const whole = wholeLayer(0, 999_900_000_000);
  for (let length = 0; length <= whole.length; length++) {
    const lines = layerLines(rowsAfter([resolved(3), ...whole.slice(0, length)]), size);
    assert.equal(lines.length, 3);
    for (const line of lines) assert.match(line, /^[0-9a-f]{12} {2}[\x20-\x7e]{1,65}$/);
  }
});

test("layerLines() shows rate and total of a download", () => {
  const layer = { index: 0, diffId: diffId(0), total: 63_000_000 };
  const rows = rowsAfter([
    resolved(1),
    { kind: "download-advanced", bytes: 0, ...layer },
    { kind: "download-advanced", bytes: 31_500_000, ...layer },
  ]);
  assert.deepEqual(layerLines(rows, { width: 79, height: 23 }), [
    "0bbbbbbbbbbb  [============            ]  50% 31.5 MB / 63.0 MB  31.5 MB/s",
  ]);
});

test("layerLines() never exceeds the width and height it is given", () => {
  const events = fc.constantFrom(...[0, 1, 2, 3, 4].flatMap((index) => wholeLayer(index)));
  const property = fc.property(fc.array(events), fc.nat(100), fc.nat(6), (some, width, height) => {
    const lines = layerLines(rowsAfter([resolved(5), ...some]), { width, height });
    return lines.length <= height && lines.every((line) => line.length <= width);
  });
  fc.assert(property);
});

test("layerLines() shows active layers and counts the others if not all fit", () => {
  const events = [resolved(40), ...wholeLayer(0), ...wholeLayer(1), ...wholeLayer(7).slice(0, 3), ...wholeLayer(9).slice(0, 1)];
  const lines = layerLines(rowsAfter(events), { width: 79, height: 10 });
  assert.equal(lines.length, 3);
  assert.match(lines[0] ?? "", /^7b+ {2}\[=+ +\]/);
  assert.match(lines[1] ?? "", /^9b+ {2}\[ +\]/);
  assert.match(lines[2] ?? "", /^40 layers: 2 finished, 36 more/);
});
