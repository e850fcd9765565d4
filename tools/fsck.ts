#!/usr/bin/env node
/** Checks a store, and repairs it if asked: docs/fsck.md. Ends as fsck(8) does: 0 clean, 1 corrected, 4 left uncorrected, 8 operational error, 16 usage. */
import { Command, InvalidArgumentError, Option } from "commander";
import { escapeText } from "../src/bytes.ts";
import type { FsckLevel, FsckProgress } from "../src/fsck/context.ts";
import { exitStatus, type Finding } from "../src/fsck/finding.ts";
import { fsck } from "../src/fsck/fsck.ts";

interface Flags {
  readonly quick?: boolean;
  readonly full?: boolean;
  readonly repair?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly notes?: boolean;
  readonly workers?: number;
}

const OPERATIONAL = 8;
const USAGE = 16;

function commandLine(): Command {
  return new Command("fsck")
    .description("Checks a store, and repairs it if asked.")
    .argument("[store]", "its directory; default: the variable SHALE_STORE")
    .option("--quick", "structure, checksums of sidecars, size and attributes of every chunk")
    .addOption(new Option("--full", "the content of everything, and every layer rebuilt").conflicts("quick"))
    .option("--repair", "put right what is wrong")
    .option("--dry-run", "with --repair: say what would be done")
    .option("--json", "findings as JSON lines")
    .option("--no-notes", "leave out what is only waste or work in progress")
    .option("--workers <count>", "worker threads", parseWorkers)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : USAGE));
}

function parseWorkers(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new InvalidArgumentError("a number from 1 to 64 is needed");
}

async function main(signal: AbortSignal): Promise<number> {
  const command = commandLine().parse();
  const flags = command.opts<Flags>();
  const store = command.args[0] ?? process.env["SHALE_STORE"];
  if (store === undefined || command.args.length > 1) {
    process.stderr.write("fsck: name one store\n");
    return USAGE;
  }
  const level: FsckLevel = flags.quick ? "quick" : flags.full ? "full" : "default";
  const progress = process.stderr.isTTY ? new ProgressLine() : undefined;
  const all: Finding[] = [];
  const { repair, dryRun, workers } = flags;
  for await (const found of fsck(store, { level, repair, dryRun, workers, signal, onProgress: (at) => progress?.show(at) })) {
    all.push({ ...found, trees: [], images: [] });
    if (found.severity === "note" && flags.notes === false) continue;
    progress?.clear();
    process.stdout.write(`${flags.json ? JSON.stringify(found) : textOf(found)}\n`);
  }
  progress?.clear();
  if (!flags.json) process.stderr.write(`${summary(all)}\n`);
  return exitStatus(all);
}

function textOf({ severity, kind, object, path, expected, found, trees, images, state, repair }: Finding): string {
  const parts = [
    `${severity}: ${kind}: ${object}${path === undefined ? "" : ` (${path === "" ? "." : path})`}`,
    expected === undefined ? "" : `expected ${expected}`,
    found === undefined ? "" : `found ${found}`,
    trees?.length ? `seen in the trees ${trees.join(", ")}` : "",
    images?.length ? `affects ${images.join(", ")}` : "",
    repair === undefined ? "" : `${state === "corrected" ? "corrected" : "would be corrected"}: ${repair}`,
  ];
  return escapeText(parts.filter((part) => part !== "").join("; "), /[\p{C}\p{Zl}\p{Zp}]/gu);
}

function summary(findings: readonly Finding[]): string {
  const count = (severity: Finding["severity"]): string => `${findings.filter((one) => one.severity === severity).length} ${severity}s`;
  const corrected = findings.filter(({ state }) => state === "corrected").length;
  return findings.length === 0 ? "clean" : `${count("error")}, ${count("warning")}, ${count("note")}; ${corrected} corrected`;
}

/** One line that is written over, at most ten times a second. */
class ProgressLine {
  #last = 0;

  show({ phase, done, total }: FsckProgress): void {
    const now = performance.now();
    if (now - this.#last < 100) return;
    this.#last = now;
    process.stderr.write(`\r\x1b[K${phase} ${done}/${total}`);
  }

  clear(): void {
    process.stderr.write("\r\x1b[K");
  }
}

const interrupted = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => interrupted.abort(new Error(`ended by ${name}`)));
try {
  process.exitCode = await main(interrupted.signal);
} catch (error) {
  process.stderr.write(`fsck: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = OPERATIONAL;
}
