/** `shale fsck` and tools/fsck: checks a store, and repairs it if asked: docs/fsck.md. Ends as fsck(8) does: 0 clean, 1 corrected, 4 left uncorrected, 8 operational error, 16 usage. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { escapeText } from "../bytes.ts";
import { fsck, fsckExitStatus, openStore, Registry, ShaleError, type Finding, type FsckLevel, type FsckProgress } from "../index.ts";
import { defaultStore } from "./default-store.ts";
import { showJson } from "./show.ts";

interface Flags {
  readonly quick?: boolean;
  readonly full?: boolean;
  readonly repair?: boolean;
  readonly dryRun?: boolean;
  readonly offline?: boolean;
  readonly plainHttp?: boolean;
  readonly json?: boolean;
  readonly notes?: boolean;
  readonly workers?: number;
}

const UNCORRECTED = 4;
const OPERATIONAL = 8;
const USAGE = 16;

function commandLine(): Command {
  return new Command("shale fsck")
    .description("Checks a store, and repairs it if asked.")
    .argument("[store]", "its directory; default: as for shale pull")
    .option("--quick", "structure, checksums of sidecars, size and attributes of every chunk")
    .addOption(new Option("--full", "the content of everything, and every layer rebuilt").conflicts("quick"))
    .option("--repair", "put right what is wrong")
    .option("--dry-run", "with --repair: say what would be done")
    .option("--offline", "with --repair: fetch nothing; the next pull of an image will")
    .option("--plain-http", "with --repair: speak plain HTTP to registries")
    .option("--json", "findings as JSON lines")
    .option("--no-notes", "leave out what is only waste or work in progress")
    .option("--workers <count>", "worker threads", parseWorkers)
    .exitOverride();
}

function parseWorkers(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= 64) return count;
  throw new InvalidArgumentError("a number from 1 to 64 is needed");
}

/** Never rejects. `argv` is what follows the command's name. */
export async function fsckProgram(argv: readonly string[], signal: AbortSignal): Promise<number> {
  try {
    return await check(commandLine().parse(argv, { from: "user" }), signal);
  } catch (error) {
    // commander has told what it wants
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    process.stderr.write(`fsck: ${escapeText(error instanceof Error ? error.message : String(error))}\n`);
    return OPERATIONAL;
  }
}

async function check(command: Command, signal: AbortSignal): Promise<number> {
  const flags = command.opts<Flags>();
  if (command.args.length > 1) {
    process.stderr.write("fsck: name one store\n");
    return USAGE;
  }
  const store = command.args[0] ?? defaultStore(process.env);
  const level: FsckLevel = flags.quick ? "quick" : flags.full ? "full" : "default";
  const progress = process.stderr.isTTY ? new ProgressLine() : undefined;
  const all: Finding[] = [];
  const { repair, dryRun, workers } = flags;
  for await (const found of fsck(store, { level, repair, dryRun, workers, signal, onProgress: (at) => progress?.show(at) })) {
    all.push({ ...found, trees: [], images: [] });
    if (found.severity === "note" && flags.notes === false) continue;
    progress?.clear();
    process.stdout.write(`${flags.json ? showJson(found) : textOf(found)}\n`);
  }
  progress?.clear();
  if (!flags.json) process.stderr.write(`${summary(all)}\n`);
  const fetched =
    repair && !dryRun && !flags.offline && all.some(({ state }) => state === "corrected") ? await fetchMissing(store, flags, signal) : true;
  return fsckExitStatus(all) | (fetched ? 0 : UNCORRECTED);
}

/** What a repair had to withdraw comes back from where its image was pulled: just the layers concerned. False when some could not. */
async function fetchMissing(path: string, { plainHttp = false, json = false }: Flags, signal: AbortSignal): Promise<boolean> {
  await using store = await openStore(path, { signal });
  await using registry = new Registry({ store, plainHttp });
  let complete = true;
  for (const { reasons } of await store.images()) {
    for (const reason of reasons) {
      if (reason.kind !== "reference") continue;
      const { reference, platform } = reason;
      const present = await store.image(reference, { platform, materialize: "lazy", signal });
      await present?.close();
      if (present) continue;
      try {
        await using image = await registry.pull(reference, { platform, materialize: "lazy", signal });
        if (!json)
          process.stderr.write(`fetched again: ${escapeText(reference)}, ${image.stats.ingestedLayers} of ${image.layers.length} layers\n`);
      } catch (error) {
        if (!ShaleError.is(error)) throw error;
        complete = false;
        process.stderr.write(`fsck: ${error.code}: ${escapeText(reference)}: ${escapeText(error.message)}\n`);
      }
    }
  }
  return complete;
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
