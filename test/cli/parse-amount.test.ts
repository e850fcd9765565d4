import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCount, parseDuration, parseSize } from "../../src/cli/parse-amount.ts";

for (const [text, bytes] of [
  ["0", 0],
  ["1048576", 1_048_576],
  ["7B", 7],
  ["20GB", 20e9],
  ["20g", 20e9],
  ["512MiB", 512 * 1024 ** 2],
  ["1.5 KiB", 1536],
  ["2T", 2e12],
  ["0.1PiB", Math.round(0.1 * 1024 ** 5)],
] as const) {
  test(`parseSize() reads ${text}`, () => assert.equal(parseSize(text), bytes));
}

for (const text of ["", "GB", "-1", "1e9", "0x10", "1,5GB", "20 G B", "9007199254740993", "100PB", "1 EB", "١"]) {
  test(`parseSize() rejects ${JSON.stringify(text)}`, () => assert.equal(parseSize(text), undefined));
}

for (const [text, ms] of [
  ["0", 0],
  ["90s", 90_000],
  ["5m", 300_000],
  ["5min", 300_000],
  ["1.5h", 5_400_000],
  ["7d", 604_800_000],
  ["2w", 1_209_600_000],
  ["250ms", 250],
] as const) {
  test(`parseDuration() reads ${text}`, () => assert.equal(parseDuration(text), ms));
}

for (const text of ["", "5", "-5m", "5 years", "m", "1h30m", "99999999999w"]) {
  test(`parseDuration() rejects ${JSON.stringify(text)}`, () => assert.equal(parseDuration(text), undefined));
}

test("parseCount() reads positive integers", () => {
  assert.deepEqual(["1", "64", "0", "-1", "1.5", "1e3", "9999999999", ""].map(parseCount), [
    1,
    64,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});
