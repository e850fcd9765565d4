import assert from "node:assert/strict";
import { test } from "node:test";
import { suggest } from "../../src/cli/suggest.ts";
import { runFake } from "./fake-context.ts";

const WORDS = ["pull", "prefetch", "images", "inspect", "materialize", "ls", "rm", "gc"];

for (const [typed, meant] of [
  ["pul", "pull"],
  ["plul", "pull"],
  ["image", "images"],
  ["imagse", "images"],
  ["materialise", "materialize"],
  ["pre", "prefetch"],
  ["xyz", undefined],
  ["push", undefined],
  ["", undefined],
  ["p".repeat(1000), undefined],
] as const) {
  test(`suggest() finds ${meant ?? "nothing"} for ${JSON.stringify(typed.slice(0, 20))}`, () => assert.equal(suggest(typed, WORDS), meant));
}

for (const [argv, meant] of [
  [["pul", "x"], /pull/],
  [["imagse"], /images/],
  [["pull", "--platfrom", "x", "y"], /--platform/],
  [["pull", "--quite", "y"], /--quiet/],
  [["pull", "--policy", "alway", "y"], /always\?/],
  [["lease", "list"], /lease add, lease ls, lease rm/],
  [["help", "imagse"], /images/],
] as const) {
  test(`run() suggests a similar word: shale ${argv.join(" ")}`, async () => {
    const { exitCode, stderr } = await runFake(argv);
    assert.equal(exitCode, 2);
    assert.match(stderr, meant);
  });
}
