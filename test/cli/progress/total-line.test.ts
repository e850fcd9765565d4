import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { showLeft, totalLine } from "../../../src/cli/progress/total-line.ts";
import type { ProgressSnapshot } from "../../../src/index.ts";

const FETCHING: ProgressSnapshot = {
  phase: "fetching",
  layers: { done: 3, total: 8 },
  trees: { done: 0, total: 8 },
  entries: { ingested: 0, materialized: 0 },
  downloadedBytes: 267e6,
  totalBytes: 635e6,
  percent: 42.05,
  bytesPerSecond: 45.2e6,
  remainingMs: 38_000,
};

test("totalLine() shows every field within 80 and within 200 columns, aligned with the lines of the layers", () => {
  const [narrow, wide] = [totalLine(FETCHING, 79), totalLine(FETCHING, 199)];
  assert.equal(narrow, "total         about 40 s left             42%  267 MB / 635 MB   45.2 MB/s");
  const bar = `[${"=".repeat(10)}${" ".repeat(14)}]`;
  assert.equal(wide, `total         ${bar}  42%  267 MB / 635 MB   45.2 MB/s  about 40 s left     3 of 8 layers`);
});

test("totalLine() leaves out an unknown total, rate or time", () => {
  assert.equal(
    totalLine({ ...FETCHING, totalBytes: undefined, percent: undefined, remainingMs: undefined }, 79),
    "total          267 MB  45.2 MB/s  3 of 8 layers",
  );
  const line = totalLine({ ...FETCHING, bytesPerSecond: undefined, remainingMs: undefined }, 79);
  assert.equal(line, "total         3 of 8 layers fetched       42%  267 MB / 635 MB");
});

test("totalLine() keeps each field at its position while numbers change", () => {
  const numbers = fc.record({
    downloadedBytes: fc.nat(999_000_000),
    bytesPerSecond: fc.option(fc.nat(2_000_000_000), { nil: undefined }),
    remainingMs: fc.option(fc.double({ min: 0, max: 1e12, noNaN: true }), { nil: undefined }),
    percent: fc.double({ min: 0, max: 100, noNaN: true }),
  });
  const property = fc.property(numbers, fc.nat(8), fc.constantFrom(79, 120, 199), (some, done, width) => {
    const line = totalLine({ ...FETCHING, totalBytes: 999_000_000, layers: { done, total: 8 }, ...some }, width) ?? "";
    return line.indexOf(" / ") === 53 && line.length <= width && (width < 100 || /^ {2}\d of 8 layers$/.test(line.slice(94)));
  });
  fc.assert(property);
});

test("totalLine() has nothing to say where nothing is fetched or made", () => {
  assert.equal(totalLine({ ...FETCHING, layers: { done: 0, total: 0 } }, 79), undefined);
  assert.equal(totalLine({ ...FETCHING, phase: "resolving" }, 79), undefined);
  assert.equal(totalLine({ ...FETCHING, phase: "complete" }, 79), undefined);
});

test("totalLine() is ASCII and at most as wide as allowed", () => {
  const optional = <T>(values: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(values, { nil: undefined });
  const snapshots: fc.Arbitrary<ProgressSnapshot> = fc.record({
    phase: fc.constantFrom("resolving", "fetching", "materializing", "complete", "failed"),
    layers: fc.record({ done: fc.nat(1000), total: fc.nat(1000) }),
    trees: fc.record({ done: fc.nat(1000), total: optional(fc.nat(1000)) }),
    entries: fc.record({ ingested: fc.nat(), materialized: fc.nat() }),
    downloadedBytes: fc.nat(),
    totalBytes: optional(fc.maxSafeNat()),
    percent: optional(fc.double({ min: 0, max: 100, noNaN: true })),
    bytesPerSecond: optional(fc.double({ min: 0, noNaN: true })),
    remainingMs: optional(fc.double({ min: 0, noNaN: true })),
  });
  const property = fc.property(snapshots, fc.nat(250), (snapshot, width) => {
    const line = totalLine(snapshot, width) ?? "";
    return line.length <= width && /^[\x20-\x7e]*$/.test(line);
  });
  fc.assert(property);
});

test("showLeft() rounds, and takes at most 18 columns", () => {
  assert.deepEqual(
    [0, 7, 8, 38, 57, 58, 89, 91, 560, 600, 3400, 3500, 7000, 86_400, 172_800, 1e12].map((seconds) => showLeft(seconds * 1000)),
    [
      "a few seconds left",
      "a few seconds left",
      "about 10 s left",
      "about 40 s left",
      "about 55 s left",
      "about 1 min left",
      "about 1 min left",
      "about 2 min left",
      "about 9 min left",
      "about 10 min left",
      "about 55 min left",
      "about 1 h left",
      "about 2 h left",
      "about 24 h left",
      "about 2 days left",
      "about 99 days left",
    ],
  );
  fc.assert(fc.property(fc.double({ min: 0, noNaN: true }), (seconds) => showLeft(seconds).length <= 18));
});
