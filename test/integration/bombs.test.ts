/** What bombs and floods cost: memory that does not follow their size, and time that follows the limit or the number of entries. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../support/run.ts";

interface Cost {
  readonly code: string;
  readonly seconds: number;
  /** More than the process had before the pull. */
  readonly mebibytes: number;
}

async function cost(name: string, n: number): Promise<Cost> {
  const child = new URL("../hostile/bomb-child.js", import.meta.url).pathname;
  return JSON.parse((await run(process.execPath, [child, name, String(n)])).toString()) as Cost;
}

/** Workers, slabs, rings and the HTTP client, with room for V8's habits. */
const FLAT_MIB = 250;

for (const [name, n] of [
  ["gzip in a file", 12],
  ["zstd in a file", 12],
  ["gzip after the end", 12],
  ["zstd after the end", 12],
] as const) {
  test(`\`pull()\` refuses a bomb of ${n} GiB (${name}) in bounded memory`, async (t) => {
    const { code, seconds, mebibytes } = await cost(name, n);
    t.diagnostic(`${seconds.toFixed(1)} s CPU, ${Math.round(mebibytes)} MiB`);
    assert.equal(code, "LIMIT_RATIO");
    assert.ok(mebibytes < FLAT_MIB, `${mebibytes} MiB`);
  });
}

test("`pull()` refuses a bomb in time that follows the limit, not the bomb", async (t) => {
  const [half, whole, larger] = [
    await cost("zstd up to 512 MiB", 2),
    await cost("zstd up to 1 GiB", 2),
    await cost("zstd up to 512 MiB", 12),
  ];
  t.diagnostic([half, whole, larger].map(({ seconds }) => `${seconds.toFixed(2)} s`).join(", "));
  for (const { code } of [half, whole, larger]) assert.equal(code, "LIMIT_LAYER_BYTES");
  assert.ok(larger.seconds < half.seconds * 1.6 + 0.3, "a larger bomb costs no more");
});

const FLOODS: readonly (readonly [name: string, n: number])[] = [
  ["distinct entries", 125_000],
  ["one entry", 50_000],
  ["one directory and a file in it, by turns", 50_000],
  ["hard links in a reverse chain", 20_000],
  ["hard links to one file", 50_000],
  ["opaque markers", 50_000],
  ["whiteouts", 100_000],
  ["entries below a deep path", 50_000],
  ["chains of symlinks", 1000],
  ["equal files", 10_000],
];

for (const [name, n] of FLOODS) {
  test(`\`pull()\` takes ${2 * n} entries (${name}) in at most three times what ${n} take`, async (t) => {
    const [once, twice] = [await cost(name, n), await cost(name, 2 * n)];
    t.diagnostic(`${once.seconds.toFixed(2)} s, ${twice.seconds.toFixed(2)} s CPU; ${Math.round(twice.mebibytes)} MiB`);
    assert.deepEqual([once.code, twice.code], ["pulled", "pulled"]);
    assert.ok(twice.seconds < 3 * once.seconds, `${twice.seconds} s after ${once.seconds} s`);
  });
}
