#!/usr/bin/env node
/** Shows what a sidecar says: docs/dump-index.md. Ends with 0, with --diff 1 when the layers differ, and 2 when it cannot. */
import { Command, Option } from "commander";
import { diffIndex, dumpIndex, type DumpIndexOptions } from "../src/dump/dump-index.ts";
import { isErrno } from "../src/errors.ts";

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
  return new Command("dump-index")
    .description("Shows the entries of a layer's sidecar.")
    .argument("<target>", "a sidecar file, a diff ID (sha256:...), or a reference: all its layers")
    .option("--store <dir>", "the store in which to look for a diff ID or reference", process.env["SHALE_STORE"])
    .option("--platform <os/arch>", "which image of a reference")
    .option("--json", "JSON lines that lose nothing, shadowed entries included")
    .option("--all", "shadowed entries too")
    .option("--prefix <path>", "only this path and what lies below it")
    .option("--whiteouts", "only whiteouts and opaque directories")
    .addOption(new Option("--stats", "sums instead of entries").conflicts(["header", "diff"]))
    .addOption(new Option("--header", "the file's header and columns instead of entries").conflicts(["diff"]))
    .option("--diff <other>", "what `other` has otherwise")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : TROUBLE));
}

async function main(): Promise<void> {
  const command = commandLine().parse();
  const { diff, stats, header, ...rest } = command.opts<Flags>();
  const options: DumpIndexOptions = { ...rest, show: stats ? "stats" : header ? "header" : "entries" };
  const [target = ""] = command.args;
  let lines = 0;
  for await (const line of diff === undefined ? dumpIndex(target, options) : diffIndex(target, diff, options)) {
    lines++;
    if (!process.stdout.write(`${line}\n`)) await new Promise((resolve) => process.stdout.once("drain", resolve));
  }
  if (diff !== undefined && lines > 0) process.exitCode = 1;
}

process.stdout.on("error", (error) => process.exit(isErrno(error, "EPIPE") ? 0 : TROUBLE));
try {
  await main();
} catch (error) {
  process.stderr.write(`dump-index: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = TROUBLE;
}
