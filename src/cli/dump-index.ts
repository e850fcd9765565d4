/** `shale dump-index` and tools/dump-index: shows what a sidecar says: docs/dump-index.md. Ends with 0, with --diff 1 when the layers differ, and 2 when it cannot. */
import { once } from "node:events";
import { Command, CommanderError, Option } from "commander";
import { escapeText } from "../bytes.ts";
import { diffIndex, dumpIndex, type DumpIndexOptions } from "../index.ts";
import { defaultStore } from "./default-store.ts";

interface Flags {
  readonly store?: string;
  readonly platform?: string;
  readonly json?: boolean;
  readonly all?: boolean;
  readonly prefix?: string;
  readonly whiteouts?: boolean;
  readonly stats?: boolean;
  readonly header?: boolean;
  readonly diff?: string;
}

const TROUBLE = 2;

function commandLine(): Command {
  return new Command("shale dump-index")
    .description("Shows the entries of a layer's sidecar.")
    .argument("<target>", "a sidecar file, a diff ID (sha256:...), or a reference: all its layers")
    .option("--store <dir>", "the store in which to look for a diff ID or reference", defaultStore(process.env))
    .option("--platform <os/arch>", "which image of a reference")
    .option("--json", "JSON lines that lose nothing, shadowed entries included")
    .option("--all", "shadowed entries too")
    .option("--prefix <path>", "only this path and what lies below it")
    .option("--whiteouts", "only whiteouts and opaque directories")
    .addOption(new Option("--stats", "sums instead of entries").conflicts(["header", "diff"]))
    .addOption(new Option("--header", "the file's header and columns instead of entries").conflicts(["diff"]))
    .option("--diff <other>", "what `other` has otherwise")
    .exitOverride();
}

/** Never rejects. `argv` is what follows the command's name. */
export async function dumpIndexProgram(argv: readonly string[]): Promise<number> {
  try {
    return await dump(commandLine().parse(argv, { from: "user" }));
  } catch (error) {
    // commander has told what it wants
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : TROUBLE;
    process.stderr.write(`dump-index: ${escapeText(error instanceof Error ? error.message : String(error))}\n`);
    return TROUBLE;
  }
}

async function dump(command: Command): Promise<number> {
  const { diff, stats, header, ...rest } = command.opts<Flags>();
  const options: DumpIndexOptions = { ...rest, show: stats ? "stats" : header ? "header" : "entries" };
  const [target = ""] = command.args;
  const closed = new Promise((resolve) => process.stdout.once("close", resolve));
  let lines = 0;
  for await (const line of diff === undefined ? dumpIndex(target, options) : diffIndex(target, diff, options)) {
    lines++;
    // whoever read our output is gone: there is nobody to tell
    if (process.stdout.destroyed) return 0;
    if (!process.stdout.write(`${line}\n`)) await Promise.race([once(process.stdout, "drain"), closed]);
  }
  return diff !== undefined && lines > 0 ? 1 : 0;
}
