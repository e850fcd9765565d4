import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { coldChart, drawChart } from "../../../tools/bench/chart.ts";
import { replaceSection } from "../../../tools/bench/document.ts";
import { floorWall, SECTIONS, sections } from "../../../tools/bench/report.ts";
import { median, spread } from "../../../tools/bench/statistics.ts";
import { PROJECT } from "../../../tools/project.ts";
import { sampleResult } from "./sample-result.ts";

/** The cells of the row that begins so. */
function row(table: string | undefined, name: string): string[] {
  const line = (table ?? "").split("\n").find((text) => text.startsWith(`| ${name} |`)) ?? "";
  return line.split(/(?<!\\)\|/).map((cell) => cell.trim());
}

test("`median()` is the middle one, and `spread()` the ends", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([2]), 2);
  assert.throws(() => median([]), RangeError);
  assert.deepEqual(spread([9, 1, 5]), [1, 9]);
});

test("`sections()` gives medians, spread and the ratio to shale of each peer", () => {
  const cold = sections(sampleResult()).get("cold");
  assert.deepEqual(row(cold, "shale").slice(2, 6), ["3.00", "2.00-4.00", "1.00", "4.50"]);
  assert.deepEqual(row(cold, "podman").slice(2, 5), ["6.00", "6.00-9.00", "2.00"]);
  assert.deepEqual(row(cold, "podman").slice(6, 12), ["200", "500", "50", "600", "40,000", "0.10"]);
});

test("`sections()` drops no peer: one that is missing and one that failed stand there with the reason", () => {
  const made = sections(sampleResult());
  assert.equal(row(made.get("cold"), "containerd")[2], "ctr not installed");
  assert.equal(row(made.get("cold"), "umoci & <others>")[2], "it fell \\| over");
  assert.match(made.get("conditions") ?? "", /containerd: ctr not installed/);
});

test("`sections()` divides the floor's pieces and the registry's time by two cores", () => {
  const result = sampleResult();
  assert.equal(floorWall(result, "node")?.toFixed(3), "1.500");
  assert.equal(floorWall(result, "another"), undefined);
  assert.equal(row(sections(result).get("floor"), "`node`").at(-2), "1.50");
  assert.equal(row(sections(result).get("cold"), "floor on two cores")[2], "1.50");
});

test("`sections()` compares what images share: time, bytes and disk", () => {
  const made = sections(sampleResult());
  assert.deepEqual(row(made.get("sharing"), "shale").slice(2, 8), ["2.00", "500", "1.00", "5.0", "0.50", "0.01"]);
  assert.deepEqual(row(made.get("disk"), "shale").slice(2, 5), ["440", "460", "1.15"]);
  assert.deepEqual(row(made.get("cached"), "shale").slice(2, 5), ["2.00", "1.00-3.00", "18"]);
});

test("`sections()` leaves out what was not measured, and every table has rows of one length", () => {
  const made = sections(sampleResult());
  assert.equal(made.has("removal"), false);
  for (const text of made.values()) {
    const widths = text.split(/\n\n/).map(
      (block) =>
        new Set(
          block
            .split("\n")
            .filter((line) => line.startsWith("|"))
            .map((line) => line.split(/(?<!\\)\|/).length),
        ),
    );
    for (const width of widths) assert.ok(width.size <= 1);
  }
});

test("`coldChart()` draws a bar for each peer that was measured and one for the floor, and escapes names", () => {
  const chart = coldChart(sampleResult());
  assert.equal(chart.match(/<rect /g)?.length, 3);
  assert.equal(chart.match(/<rect class="own"/g)?.length, 1);
  assert.equal(chart.match(/class="range" x1/g)?.length, 2);
  assert.doesNotMatch(chart, /NaN|Infinity|undefined/);
  assert.match(chart, /prefers-color-scheme: dark/);
  const strange = drawChart("a & b", [{ title: "<x>", bars: [{ label: '"', value: 0, kind: "peer" }] }]);
  assert.match(strange, /a &amp; b[\s\S]*&lt;x>[\s\S]*&quot;/);
  assert.doesNotMatch(strange, /NaN/);
});

test("`replaceSection()` writes between the marks and nowhere else, again and again", () => {
  const page = "a\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nb\n";
  const once = replaceSection(page, "x", "new");
  assert.equal(once, "a\n<!-- bench:x -->\n\nnew\n\n<!-- /bench:x -->\nb\n");
  assert.equal(replaceSection(once, "x", "new"), once);
  assert.throws(() => replaceSection(page, "y", "new"));
});

test("`docs/performance.md` has marks for every section", async () => {
  const page = await readFile(join(PROJECT, "docs/performance.md"), "utf8");
  for (const name of SECTIONS) assert.notEqual(replaceSection(page, name, "another text"), page);
});
