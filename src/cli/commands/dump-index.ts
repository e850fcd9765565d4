/** `shale dump-index`: prints the content of a sidecar: docs/dump-index.md. */
import type { DumpIndexOptions } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { storePath } from "../open-store.ts";
import { COMMON, PLATFORM } from "../options.ts";
import { print, printItems } from "../print.ts";
import { escapeJson } from "../show.ts";
import { flag, text } from "../values.ts";

const DIFFERENT = 1;
const TROUBLE = 2;

export const dumpIndexCommand: Command = {
  name: "dump-index",
  summary: "Show the sidecar of a layer: every entry of its tar.",
  arguments: [{ name: "TARGET", completes: "reference" }],
  options: {
    ...COMMON,
    ...PLATFORM,
    all: { type: "boolean", help: "show shadowed entries, too" },
    prefix: { type: "string", argument: "PATH", help: "show only PATH and the entries below it" },
    whiteouts: { type: "boolean", help: "show only whiteouts and opaque directories" },
    stats: { type: "boolean", help: "show totals instead of entries" },
    header: { type: "boolean", help: "show the header and columns of the file instead of entries" },
    diff: { type: "string", argument: "OTHER", help: "show differences from OTHER" },
  },
  conflicts: [["stats", "header", "diff"]],
  notes: ["TARGET is a sidecar file, a diff ID (sha256:...), or a reference: then all layers of the image are shown, bottom to top."],
  json: "a lossless list, with shadowed entries, one element per line: [{ kind, ... }, ...]; see docs/dump-index.md",
  examples: [
    ["shale dump-index alpine:3.20", "show all layers of an image"],
    ["shale dump-index --prefix etc --json sha256:4bcff6...", "show a part of one layer, as JSON"],
    ["shale dump-index --diff sha256:4bcff6... sha256:63ca1f...", "compare two layers"],
  ],
  exitCodes: {
    rows: [
      [0, "success; with --diff: no differences"],
      [DIFFERENT, "with --diff: the layers differ"],
      [TROUBLE, "failure; the line on standard error has the code"],
    ],
    ofFailure: () => TROUBLE,
  },
  run: dump,
};

async function dump(line: Line, context: Context): Promise<number> {
  const { args, values } = line;
  const [target = ""] = args;
  const { diffIndex, dumpIndex } = await context.loadApi();
  const options: DumpIndexOptions = {
    store: storePath(line, context),
    platform: text(values, "platform"),
    json: flag(values, "json"),
    all: flag(values, "all"),
    prefix: text(values, "prefix"),
    whiteouts: flag(values, "whiteouts"),
    show: flag(values, "stats") ? "stats" : flag(values, "header") ? "header" : "entries",
  };
  const diff = text(values, "diff");
  let lines = 0;
  const counted = async function* (): AsyncGenerator<string> {
    for await (const one of diff === undefined ? dumpIndex(target, options) : diffIndex(target, diff, options)) {
      lines++;
      yield options.json ? escapeJson(one) : one;
    }
  };
  if (flag(values, "json")) await printItems(context, counted());
  else for await (const one of counted()) await print(context, `${one}\n`);
  return diff !== undefined && lines > 0 ? DIFFERENT : 0;
}
