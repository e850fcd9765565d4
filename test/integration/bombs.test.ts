/** What bombs and floods cost: memory that does not follow their size, and time that follows the limit or the number of entries. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

interface Cost {
  readonly code: string;
  readonly seconds: number;
  /** More than the process had before the pull. */
  readonly mebibytes: number;
  /** MiB that the process may write to: what RLIMIT_DATA bounds. */
  readonly data: number;
}

const CHILD: string = new URL("../hostile/bomb-child.js", import.meta.url).pathname;

async function cost(name: string, n: number): Promise<Cost> {
  return JSON.parse((await run(process.execPath, [CHILD, name, String(n)])).toString()) as Cost;
}

/** Workers, slabs, rings and the HTTP client, with room for V8's habits. */
const FLAT_MIB = 250;

/**
 * The kernel is the judge: memory that is mapped for writing is bounded to what a small pull has, and FLAT_MIB. (Of RLIMIT_AS nearly all
 * would be what V8 reserves and never touches, 35 GiB.)
 */
test("`pull()` refuses bombs of 12 GiB under a limit of the kernel that a pull with a little more memory does not survive", async (t) => {
  const { data } = await cost("one entry", 10);
  const limit = Math.ceil(data + FLAT_MIB);
  // of a process that does not survive, what it left is removed with this
  await using directory = await temporaryDirectory();
  const env = { ...process.env, TMPDIR: directory.path };
  const limited = (name: string, n: number, hoard = 0): Promise<Buffer> =>
    run("prlimit", [`--data=${limit * 1024 * 1024}`, process.execPath, CHILD, name, String(n), String(hoard)], { env });
  for (const name of ["gzip in a file", "zstd in a file", "gzip after the end", "zstd after the end"]) {
    const { code, seconds, mebibytes, data: most } = JSON.parse((await limited(name, 12)).toString()) as Cost;
    t.diagnostic(`${name}: ${Math.round(most - data)} MiB more than a small pull, of ${FLAT_MIB}; ${seconds.toFixed(1)} s CPU`);
    assert.equal(code, "LIMIT_RATIO");
    assert.ok(mebibytes < FLAT_MIB, `${mebibytes} MiB`);
  }
  await assert.rejects(limited("one entry", 10, FLAT_MIB + 100));
});

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
