import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { TotalView } from "../../../src/cli/progress/pull-total.ts";
import { showLeft, totalLine } from "../../../src/cli/progress/total-line.ts";

const VIEW = { kind: "fetching", bytes: 267e6, total: 635e6, rate: 45.2e6, left: 38, finished: 3, layers: 8 } as const;

test("totalLine() tells all of it within 80 and within 200 columns, below the fields of the layers", () => {
  const [narrow, wide] = [totalLine(VIEW, 79), totalLine(VIEW, 199)];
  assert.equal(narrow, "total         about 40 s left             42%  267 MB / 635 MB   45.2 MB/s");
  const bar = `[${"=".repeat(10)}${" ".repeat(14)}]`;
  assert.equal(wide, `total         ${bar}  42%  267 MB / 635 MB   45.2 MB/s  about 40 s left     3 of 8 layers`);
});

test("totalLine() does without a total, a rate or a time that is not known", () => {
  assert.equal(totalLine({ ...VIEW, total: undefined, left: undefined }, 79), "total          267 MB  45.2 MB/s  3 of 8 layers");
  const line = totalLine({ ...VIEW, rate: undefined, left: undefined }, 79);
  assert.equal(line, "total         3 of 8 layers fetched       42%  267 MB / 635 MB");
});

test("totalLine() keeps every field in its place while numbers change", () => {
  const views = fc.record({
    bytes: fc.nat(999_000_000),
    rate: fc.option(fc.nat(2_000_000_000), { nil: undefined }),
    left: fc.option(fc.double({ min: 0, max: 1e9, noNaN: true }), { nil: undefined }),
    finished: fc.nat(8),
  });
  const property = fc.property(views, fc.constantFrom(79, 120, 199), (some, width) => {
    const line = totalLine({ kind: "fetching", total: 999_000_000, layers: 8, ...some }, width);
    return line.indexOf(" / ") === 53 && line.length <= width && (width < 100 || /^ {2}\d of 8 layers$/.test(line.slice(94)));
  });
  fc.assert(property);
});

test("totalLine() is ASCII and never wider than it may be", () => {
  const views: fc.Arbitrary<TotalView> = fc.oneof(
    fc.record({
      kind: fc.constant("fetching" as const),
      bytes: fc.nat(),
      total: fc.option(fc.maxSafeNat(), { nil: undefined }),
      rate: fc.option(fc.double({ min: 0, noNaN: true }), { nil: undefined }),
      left: fc.option(fc.double({ min: 0, noNaN: true }), { nil: undefined }),
      finished: fc.nat(1000),
      layers: fc.nat(1000),
    }),
    fc.record({
      kind: fc.constant("linking" as const),
      names: fc.nat(),
      finished: fc.nat(100),
      trees: fc.option(fc.nat(100), { nil: undefined }),
      part: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
    }),
  );
  fc.assert(
    fc.property(
      views,
      fc.nat(250),
      (view, width) => totalLine(view, width).length <= width && /^[\x20-\x7e]*$/.test(totalLine(view, width)),
    ),
  );
});

test("showLeft() speaks in coarse words, at most eighteen letters", () => {
  assert.deepEqual([0, 7, 8, 38, 57, 58, 89, 91, 560, 600, 3400, 3500, 7000, 86_400, 172_800, 1e12].map(showLeft), [
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
  ]);
  fc.assert(fc.property(fc.double({ min: 0, noNaN: true }), (seconds) => showLeft(seconds).length <= 18));
});
