/** The completion scripts, run by their shells. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { loadCommands } from "../../src/cli/commands.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";
import { runFake } from "./fake-context.ts";
import { startRealStore, type RealStore } from "./real-run.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

interface Place {
  readonly store: RealStore;
  readonly directory: TemporaryDirectory;
  readonly reference: string;
}

let place: Place;

before(async () => {
  const store = await startRealStore();
  const { reference } = await store.harness.pushEntries("team/app", [{ path: "a", content: "a" }]);
  await store.harness.pull(reference);
  await store.run(["lease", "add", "sandbox-42", reference]);
  await store.run(["lease", "add", "$(touch hacked) `id`", reference]);
  const directory = await temporaryDirectory();
  mkdirSync(join(directory.path, "some-directory"));
  writeFileSync(join(directory.path, "some-file"), "");
  const program = join(directory.path, "bin/shale");
  mkdirSync(join(directory.path, "bin"));
  writeFileSync(program, `#!/bin/sh\nSHALE_STORE='${store.harness.path}' exec '${process.execPath}' '${MAIN}' "$@"\n`);
  chmodSync(program, 0o755);
  for (const shell of ["bash", "zsh", "fish"]) {
    const { exitCode, stdout } = await runFake(["completion", shell]);
    assert.equal(exitCode, 0);
    writeFileSync(join(directory.path, `completion.${shell}`), stdout);
  }
  place = { store, directory, reference };
});

after(async () => {
  await place.store[Symbol.asyncDispose]();
  await place.directory[Symbol.asyncDispose]();
});

/** The suggestions for a command line, sorted. */
type Complete = (line: string) => Promise<string[]>;

const IN_BASH = `
source completion.bash
COMP_LINE=$1 COMP_POINT=\${#1}
_shale
printf '%s\\n' "\${COMPREPLY[@]}"
`;

const complete: Readonly<Record<"bash" | "zsh" | "fish", Complete>> = {
  bash: async (line) => {
    const stdout = await inShell("bash", "--norc", "--noprofile", "-c", IN_BASH, "bash", line);
    // bash replaces only the part of a word after its last colon
    const kept = /(?:^|\s)(\S*:)[^\s:]*$/.exec(line)?.[1] ?? "";
    return stdout.map((word) => (kept === "" ? word : `${kept}${word}`));
  },
  zsh: (line) => inShell("zsh", "-f", "-c", IN_ZSH, "zsh", line),
  fish: async (line) => {
    const script = "source completion.fish; complete -C $argv[1]";
    return (await inShell("fish", "--no-config", "-c", script, line)).map((word) => word.replace(/\t.*/, ""));
  },
};

/** Runs zsh on its own terminal, and triggers completion by a key that prints the suggestions. */
const IN_ZSH = String.raw`
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= PS2=; autoload -Uz compinit; compinit -u -D; source completion.zsh
  compadd() {
    local -a told
    if (( ! $argv[(I)-[OAD]*] )); then builtin compadd -O told "$@"; (( $#told )) && print -rl -- "<"$^told">"; fi
    builtin compadd "$@"
  }
  tell() { _main_complete; compstate[insert]=; compstate[list]=; print END }
  zle -C tell complete-word tell; bindkey "^X" tell; print READY""NOW'
while zpty -r shell line; do [[ $line == *READYNOW* ]] && break; done
zpty -w -n shell "$1"$'\x18'
while zpty -r shell line; do
  [[ $line == *END* ]] && break
  print -r -- "$line"
done | tr -d '\r' | grep -o '<[^>]\{1,\}>' | tr -d '<>' | sort -u
zpty -d shell
`;

async function inShell(shell: string, ...args: readonly string[]): Promise<string[]> {
  const { path } = place.directory;
  const env = { ...process.env, PATH: `${join(path, "bin")}:${process.env["PATH"] ?? ""}`, HOME: path, TERM: "xterm" };
  const stdout = await run(shell, args, { cwd: path, env });
  return stdout
    .toString("utf8")
    .split("\n")
    .map((word) => word.trimEnd())
    .filter((word) => word !== "")
    .sort();
}

for (const shell of ["bash", "zsh", "fish"] as const) {
  describe(`shale completion ${shell}`, () => {
    const expect = (title: string, line: string, wanted: () => readonly string[]): void => {
      test(`shale completion ${shell} completes ${title}`, async () => {
        assert.deepEqual(await complete[shell](line), [...wanted()].sort());
      });
    };
    expect("a command", "shale pref", () => ["prefetch"]);
    expect("a command of a group", "shale lease r", () => ["rm"]);
    expect("an option", "shale pull --pol", () => ["--policy"]);
    expect("an option's choices", "shale pull --policy ", () => ["always", "if-missing", "never"]);
    expect("a shell", "shale completion z", () => ["zsh"]);
    expect("a reference", "shale pull 12", () => [place.reference]);
    expect("a reference after its first colon", "shale rm other 127.0.0.1:", () => [place.reference]);
    expect("a lease", "shale lease rm sand", () => ["sandbox-42"]);
    expect("nothing for an argument without suggestions", "shale ls alpine x", () => []);

    test(`shale completion ${shell} completes directories for --store, but no files`, async () => {
      const found = (await complete[shell]("shale du --store some")).map((word) => word.replace(/\/$/, ""));
      assert.deepEqual(found, ["some-directory"]);
    });

    test(`shale completion ${shell} knows every command`, async () => {
      const found = await complete[shell]("shale ");
      for (const { name } of await loadCommands()) assert.ok(found.includes(name.split(" ")[0] ?? ""), name);
    });

    test(`shale completion ${shell} does not run command substitutions in suggestions`, async () => {
      const found = await complete[shell]("shale lease rm ");
      assert.ok(found.length >= 2);
      assert.deepEqual(
        found.filter((word) => word.includes("hacked")).map((word) => word.replaceAll("\\", "")),
        ["$(touch hacked) `id`"],
      );
      await assert.rejects(run("ls", [join(place.directory.path, "hacked")]));
    });
  });
}
