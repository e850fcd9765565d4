/**
 * Machines and processes fail: killed, without power, with a full disk, without file descriptors, with calls that fail, and many at once.
 * Here a sample; `npm run test:crash` sets SHALE_CRASH=whole. A problem names its seed and round: SHALE_CRASH_SEED and SHALE_CRASH_ROUND
 * do that round again. Needs root: file systems are mounted, processes traced. See docs/robustness.md.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test, type TestContext } from "node:test";
import { runShort, SHORTAGES } from "../crash/disk-full.ts";
import { failCalls } from "../crash/failing-calls.ts";
import { sweepKills } from "../crash/kill-sweep.ts";
import { crowd } from "../crash/many-processes.ts";
import { cutPower } from "../crash/power-cut.ts";
import { World } from "../crash/world.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

const WHOLE = process.env["SHALE_CRASH"] === "whole";
/** The sample is the same each time: what it proves, it proves of the change at hand. */
const SEED = process.env["SHALE_CRASH_SEED"] ?? (WHOLE ? randomBytes(4).toString("hex") : "sample");
const ROUND = process.env["SHALE_CRASH_ROUND"];
const only: number | undefined = ROUND === undefined ? undefined : Number(ROUND);
const timeout = (WHOLE ? 60 : 6) * 60_000;
const lanes = 2;

let world: World;
let temporary: TemporaryDirectory;

before(async () => {
  world = await World.create();
  temporary = await temporaryDirectory();
});

after(async () => {
  await temporary[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

/** Collects problems, and tells them as they come. */
function problemsOf(context: TestContext): { problems: string[]; onProblem: (text: string) => void } {
  const problems: string[] = [];
  context.diagnostic(`SHALE_CRASH_SEED=${SEED}`);
  const onProblem = (text: string): void => {
    problems.push(text);
    process.stderr.write(`${text}\n`);
  };
  return { problems, onProblem };
}

function rounds(count: number): readonly number[] {
  return only === undefined ? Array.from({ length: count }, (_, round) => round) : [only];
}

const kills = Number(process.env["SHALE_CRASH_KILLS"] ?? (WHOLE ? 300 : 8));

test(`A process killed at any moment or system call, ${kills} times, leaves a store that needs no help`, { timeout }, async (context) => {
  const { problems, onProblem } = problemsOf(context);
  const result = await sweepKills({ world, directory: temporary.path, seed: SEED, kills, only, lanes, onProblem });
  context.diagnostic(JSON.stringify(result));
  assert.deepEqual(problems, []);
});

test("A power cut at any moment loses nothing that was there, and what it spoils is found before use", { timeout }, async (context) => {
  const { problems, onProblem } = problemsOf(context);
  const result = await cutPower({ world, directory: temporary.path, seed: SEED, rounds: rounds(WHOLE ? 30 : 2), onProblem });
  context.diagnostic(JSON.stringify(result));
  assert.deepEqual(problems, []);
  assert.deepEqual(
    Object.keys(result.codes).filter((code) => !["done", "STORE_IO"].includes(code)),
    [],
  );
  if (WHOLE && only === undefined) assert.ok(result.cuts > result.after, "most cuts hit a process at work");
});

for (const shortage of SHORTAGES) {
  test(`A pull that runs out of ${shortage} says so, and goes on when there is enough`, { timeout }, async (context) => {
    const { problems, onProblem } = problemsOf(context);
    const levels = shortage === "read-only" ? 1 : WHOLE ? 20 : 2;
    const codes = await runShort({ world, directory: temporary.path, shortage, levels, lanes, onProblem });
    context.diagnostic(JSON.stringify(codes));
    assert.deepEqual(problems, []);
  });
}

test("A system call that fails, once or for good, gives an error with a code, and nothing else", { timeout }, async (context) => {
  const { problems, onProblem } = problemsOf(context);
  const codes = await failCalls({ world, directory: temporary.path, seed: SEED, rounds: rounds(WHOLE ? 56 : 3), lanes, onProblem });
  context.diagnostic(JSON.stringify(codes));
  assert.deepEqual(problems, []);
});

const processes = WHOLE ? 8 : 4;

test(
  `${processes} processes, beside removal, gc and fsck, ingest each layer once and get the right trees`,
  { timeout },
  async (context) => {
    const { problems, onProblem } = problemsOf(context);
    const result = await crowd({ world, directory: temporary.path, seed: SEED, processes, rounds: WHOLE ? 25 : 3, onProblem });
    context.diagnostic(JSON.stringify(result));
    assert.deepEqual(problems, []);
    assert.ok(result.collections > 0 && result.checks > 0);
  },
);
