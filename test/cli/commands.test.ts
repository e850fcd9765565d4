/** Every command's table, help and documentation. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { COMMANDS, loadCommands } from "../../src/cli/commands.ts";
import { EXIT_CODES } from "../../src/cli/exit-codes.ts";
import { COMMON } from "../../src/cli/options.ts";
import { updatePage } from "../../tools/cli-docs.ts";
import { runFake } from "./fake-context.ts";

const commands = await loadCommands();

test("COMMANDS has each command once, under the name in its table", () => {
  const names = commands.map(({ name }) => name);
  assert.deepEqual(
    COMMANDS.map(({ name }) => name),
    names,
  );
  assert.equal(new Set(names).size, names.length);
});

test("docs/cli.md matches the tables of options, commands and exit codes", async () => {
  const page = await readFile(new URL("../../../docs/cli.md", import.meta.url), "utf8");
  assert.equal(updatePage(page, commands), page);
});

test("shale --help shows every command and exit code", async () => {
  const { stdout } = await runFake(["--help"]);
  for (const { name } of commands) assert.match(stdout, new RegExp(`^  ${name} `, "m"));
  for (const [code] of EXIT_CODES) assert.match(stdout, new RegExp(`^  ${code} `, "m"));
});

for (const command of commands) {
  const { name, options, summary, examples, json } = command;
  const words = name.split(" ");

  test(`shale ${name} has the common options, a JSON shape, examples of itself, and no option or letter twice`, () => {
    for (const common of Object.keys(COMMON)) assert.ok(common in options, common);
    const letters = Object.values(options).flatMap(({ short }) => short ?? []);
    assert.equal(new Set(letters).size, letters.length);
    assert.ok(!("help" in options) && !letters.includes("h"));
    assert.match(summary, /^[A-Z].*\.$/);
    assert.ok(json);
    assert.ok(examples.length > 0);
    for (const [line] of examples) assert.ok(line.includes(`shale ${name}`), line);
    for (const { type, argument, help } of Object.values(options)) {
      assert.equal(type === "boolean", argument === undefined);
      assert.doesNotMatch(help, /\.$/);
    }
  });

  test(`shale ${name} --help shows every option, and its exit codes or where they are, in at most 100 columns, without calling the API`, async () => {
    const { exitCode, stdout, stderr, calls } = await runFake([...words, "--help"]);
    assert.deepEqual([exitCode, stderr, calls], [0, "", []]);
    for (const option of [...Object.keys(options), "help"]) assert.match(stdout, new RegExp(`^  (-\\w, )?--${option}\\b`, "m"));
    for (const [code] of command.exitCodes?.rows ?? []) assert.match(stdout, new RegExp(`^  ${code} `, "m"));
    assert.equal(stdout.includes("shale --help lists the exit codes"), command.exitCodes === undefined);
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
    assert.match(stdout, new RegExp(`^ {2}shale ${name}`, "m"));
  });

  test(`shale ${name} rejects an unknown option with the usage exit code, and suggests the nearest`, async () => {
    const { exitCode, stdout, stderr, calls } = await runFake([...words, "--jsno"]);
    assert.deepEqual([exitCode, stdout, calls], [command.exitCodes?.ofFailure("usage") ?? 2, "", []]);
    assert.match(stderr, /--json\?/);
  });
}
