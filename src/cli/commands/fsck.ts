/** `shale fsck`: checks a store, and repairs it on request: docs/fsck.md. */
import { styleText } from "node:util";
import { escapeText } from "../../bytes.ts";
import type { Finding, FsckLevel } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { storePath } from "../open-store.ts";
import { COMMON, REGISTRY } from "../options.ts";
import { print, printItems } from "../print.ts";
import { StatusLine } from "../progress/status-line.ts";
import { registryOptions } from "../registry-options.ts";
import { isTerminal, Reporter } from "../reporter.ts";
import { showCount, showJson, showMessage, showNumber } from "../show.ts";
import { isColoured } from "../table.ts";
import { UsageError } from "../usage-error.ts";
import { amount, flag, text } from "../values.ts";

const UNCORRECTED = 4;

export const fsckCommand: Command = {
  name: "fsck",
  summary: "Check a store, and repair it on request.",
  arguments: [{ name: "STORE", optional: true, completes: "directory" }],
  options: {
    ...COMMON,
    quick: { type: "boolean", help: "check structure, sidecars, and size and attributes of every chunk, but no content" },
    full: { type: "boolean", help: "also rebuild every layer, and compare it with its diff ID" },
    repair: { type: "boolean", help: "repair what is damaged, and fetch again what had to be removed" },
    "dry-run": { type: "boolean", help: "with --repair: show the repairs, and make none" },
    offline: { type: "boolean", help: "with --repair: fetch nothing; leave that to the next pull" },
    "no-notes": { type: "boolean", help: "omit notes: wasted space, and work in progress" },
    workers: { type: "count", argument: "COUNT", range: [1, 64], help: "number of worker threads, at most 64" },
    ...REGISTRY,
  },
  conflicts: [["quick", "full"]],
  notes: [
    "Standard output: one line per finding. fsck may run while other processes pull. It uses the network only for --repair.",
    "A damaged chunk or tree is never changed in place; docs/fsck.md explains what a repair does.",
  ],
  json: "{ findings: [{ severity, kind, object, path, expected, found, trees, images, state, repair }, ...], summary: { errors, warnings, notes, corrected }, fetched: [{ reference, layers } or { reference, error }] }, one finding per line",
  examples: [
    ["shale fsck", "check all content"],
    ["shale fsck --quick --store /var/lib/shale", "check no content: 40,000 chunks in about a second"],
    ["shale fsck --repair --dry-run", "show what a repair would do"],
  ],
  exitCodes: {
    rows: [
      [0, "no errors and no warnings"],
      [1, "everything was repaired"],
      [UNCORRECTED, "some damage remains (5: some was repaired, too)"],
      [8, "the check failed"],
      [16, "invalid command line"],
    ],
    ofFailure: (kind) => (kind === "usage" ? 16 : 8),
  },
  run: check,
};

interface Check {
  readonly asked: ReturnType<typeof registryOptions>;
  readonly line: Line;
  readonly context: Context;
  readonly path: string;
  readonly reporter: Reporter;
  readonly status: StatusLine;
}

async function check(line: Line, context: Context): Promise<number> {
  const { args, values } = line;
  if (args[0] !== undefined && text(values, "store") !== undefined) throw new UsageError("the store is given twice; omit STORE or --store");
  const reporter = new Reporter(line, context);
  using status = new StatusLine(context, reporter);
  const run: Check = { asked: registryOptions(line), line, context, path: args[0] ?? storePath(line, context), reporter, status };
  const all: Finding[] = [];
  const told = tell(run, all);
  if (!reporter.json) {
    for await (const finding of told) await print(context, await shown(finding, context));
    status.clear();
    reporter.note(summary(all, line));
    return await finish(run, all, await repaired(run, all));
  }
  let fetched: readonly Fetched[] = [];
  const items = async function* (): AsyncGenerator<string> {
    for await (const finding of told) yield showJson(finding);
    fetched = await repaired(run, all);
  };
  await printItems(context, items(), {
    before: '{"findings":[',
    after: () => `],"summary":${showJson(counts(all))},"fetched":${showJson(fetched)}}`,
  });
  return await finish(run, all, fetched);
}

async function finish({ context }: Check, all: readonly Finding[], fetched: readonly Fetched[]): Promise<number> {
  const { fsckExitStatus } = await context.loadApi();
  return fsckExitStatus(all) | (fetched.some(({ error }) => error) ? UNCORRECTED : 0);
}

/** Yields the findings to show. `all` gets every finding, without its long lists. */
async function* tell({ line: { values }, context, path, status }: Check, all: Finding[]): AsyncGenerator<Finding> {
  const level: FsckLevel = flag(values, "quick") ? "quick" : flag(values, "full") ? "full" : "default";
  const { fsck } = await context.loadApi();
  const options = { level, repair: flag(values, "repair"), dryRun: flag(values, "dry-run"), workers: amount(values, "workers") };
  const onProgress = ({ phase, done, total }: { phase: string; done: number; total: number }): void =>
    status.show(`checking ${phase}: ${showNumber(done)} of ${showNumber(total)}`);
  for await (const finding of fsck(path, { ...options, signal: context.signal, onProgress })) {
    all.push({ ...finding, trees: [], images: [] });
    if (finding.severity === "note" && flag(values, "no-notes")) continue;
    status.clear();
    yield finding;
  }
}

interface Fetched {
  readonly reference: string;
  /** Layers that were missing. */
  readonly layers?: number;
  readonly error?: { readonly code: string; readonly message: string };
}

async function repaired(run: Check, all: readonly Finding[]): Promise<readonly Fetched[]> {
  const { values } = run.line;
  if (!flag(values, "repair") || flag(values, "dry-run") || flag(values, "offline")) return [];
  return all.some(({ state }) => state === "corrected") ? fetchMissing(run) : [];
}

async function fetchMissing({ asked, context, path, reporter }: Check): Promise<readonly Fetched[]> {
  const { signal } = context;
  const { openStore, refetchImages, Registry } = await context.loadApi();
  await using store = await openStore(path, { signal });
  await using registry = new Registry({ ...asked, store });
  const fetched: Fetched[] = [];
  for await (const { reference, fetchedLayers, layers, error } of refetchImages(registry, { signal })) {
    if (error) fetched.push({ reference, error: reporter.fail(error, reference).error });
    else {
      fetched.push({ reference, layers: fetchedLayers });
      reporter.note(`fetched again: ${showMessage(reference)}, ${fetchedLayers} of ${layers} layers`);
    }
  }
  return fetched;
}

/** On a terminal wrapped, with the severity in colour; else one line. */
async function shown(finding: Finding, context: Context): Promise<string> {
  const text = textOf(finding);
  const { stdout, env } = context;
  if (!isTerminal(stdout, env)) return `${text}\n`;
  const { default: wrapAnsi } = await import("wrap-ansi");
  const lines = wrapAnsi(text, (stdout.columns || 80) - INDENT.length).replaceAll("\n", `\n${INDENT}`);
  const colour = COLOURS[finding.severity];
  const { length } = finding.severity;
  if (!isColoured(context) || colour === undefined) return `${lines}\n`;
  return `${styleText(colour, lines.slice(0, length), { validateStream: false })}${lines.slice(length)}\n`;
}

const INDENT = "  ";
const COLOURS: Readonly<Record<Finding["severity"], "red" | "yellow" | undefined>> = { error: "red", warning: "yellow", note: undefined };

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

function counts(findings: readonly Finding[]): Readonly<Record<"errors" | "warnings" | "notes" | "corrected", number>> {
  const count = (severity: Finding["severity"]): number => findings.filter((one) => one.severity === severity).length;
  const corrected = findings.filter(({ state }) => state === "corrected").length;
  return { errors: count("error"), warnings: count("warning"), notes: count("note"), corrected };
}

function summary(findings: readonly Finding[], { values }: Line): string {
  if (findings.length === 0) return "clean";
  const { errors, warnings, notes, corrected } = counts(findings);
  const found = [showCount(errors, "error"), showCount(warnings, "warning"), showCount(notes, "note")].join(", ");
  if (flag(values, "repair") && !flag(values, "dry-run")) return `${found}; ${showNumber(corrected)} corrected`;
  return errors + warnings === 0 || flag(values, "repair") ? found : `${found}; shale fsck --repair repairs the store`;
}
