import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PROJECT } from "../../tools/project.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const FILES: Readonly<Record<string, string>> = {
  "good.test.mjs": 'test("good", () => {}); suite("group", () => { test("inner", () => {}); });',
  "bad.test.mjs": 'test("bad", () => { throw new Error("the reason"); }); test("good after bad", () => {});',
  "skipped.test.mjs": 'test("skipped", { skip: true }, () => {});',
  "crash.test.mjs": 'test("before the crash", () => {}); process.exit(3);',
};

const PROGRAM = `
  const { runFiles } = await import(${JSON.stringify(join(PROJECT, "dist/tools/run-tests.js"))});
  const output = [];
  const counts = await runFiles(process.argv.slice(2), 2, (text) => output.push(text));
  console.log(JSON.stringify({ counts, output: output.join("") }));
`;

test("runFiles() counts tests, not groups; a failed, skipped or crashed test fails, and is shown with its reason", async () => {
  await using directory = await temporaryDirectory();
  const names = Object.keys(FILES);
  for (const name of names) writeFileSync(join(directory.path, name), `import { suite, test } from "node:test";\n${FILES[name]}\n`);
  const paths = names.map((name) => join(directory.path, name));
  // within a test, run() of node:test runs nothing
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const program = join(directory.path, "program.mjs");
  writeFileSync(program, PROGRAM);
  const stdout = await run(process.execPath, [program, ...paths], { env });
  const { counts, output } = JSON.parse(stdout.toString()) as { counts: { passed: number; failed: number }; output: string };
  assert.equal(counts.passed, 3);
  assert.ok(counts.failed >= 3, output);
  for (const part of ["FAILED bad", "the reason", "FAILED skipped", "crash.test.mjs"]) assert.ok(output.includes(part), output);
});
