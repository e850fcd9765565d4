/** `shale gc`: removes what nothing keeps. */
import type { GcResult } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showBytesOf, showCount, showJson } from "../show.ts";
import { amount, flag } from "../values.ts";

export const gcCommand: Command = {
  name: "gc",
  summary: "Removes what nothing keeps: no reference, no lease, no mount, no running pull.",
  arguments: [],
  options: {
    ...COMMON,
    "dry-run": { type: "boolean", short: "n", help: "say what would go, and remove nothing" },
    "keep-bytes": {
      type: "size",
      argument: "SIZE",
      help: "also remove images that only references keep, least recently used first, until the files take at most this",
    },
    "keep-younger": { type: "duration", argument: "TIME", help: "keep what was pulled or used in this time (default 5m)" },
    bytes: { type: "boolean", help: "sizes in bytes" },
  },
  notes: ["It may run while other processes pull and boot, and may be interrupted: the store stays valid, and the next run finishes."],
  json: "{ dryRun, images, layers, trees, chunks, bytes }; chunks and bytes are 0 in a dry run",
  examples: [
    ["shale gc", "what nothing keeps"],
    ["shale gc --keep-bytes 20GB", "a budget"],
    ["shale gc --dry-run --keep-younger 0", "what would go if nothing was young"],
  ],
  run: gc,
};

async function gc(line: Line, context: Context): Promise<void> {
  const { values } = line;
  const reporter = new Reporter(line, context);
  const dryRun = flag(values, "dry-run");
  await using store = await openExistingStore(line, context, reporter.warn);
  const result = await store.gc({
    dryRun,
    keepBytes: amount(values, "keep-bytes"),
    keepYounger: amount(values, "keep-younger"),
    signal: context.signal,
  });
  if (reporter.json) return await print(context, `${showJson({ dryRun, ...gcResult(result) })}\n`);
  const listed = [
    ...result.images.map((id) => `image ${id}`),
    ...result.layers.map((id) => `layer ${id}`),
    ...result.trees.map((id) => `tree ${id}`),
  ];
  if (dryRun) for (const one of listed) await print(context, `${one}\n`);
  if (dryRun && reporter.quiet) return;
  return await print(context, renderGc(result, { dryRun, exact: flag(values, "bytes") }));
}

export function gcResult({ images, layers, trees, chunks, bytes }: GcResult): GcResult {
  return { images, layers, trees, chunks, bytes };
}

/** `removed 2 images, 5 layers, 5 trees; freed 123 MB in 4,567 files` */
export function renderGc(
  { images, layers, trees, chunks, bytes }: GcResult,
  { dryRun, exact }: { readonly dryRun: boolean; readonly exact: boolean },
): string {
  const counts = [showCount(images.length, "image"), showCount(layers.length, "layer"), showCount(trees.length, "tree")];
  const what = images.length + layers.length + trees.length === 0 ? "nothing" : counts.join(", ");
  if (dryRun) return `would remove ${what}\n`;
  return chunks === 0 ? `removed ${what}\n` : `removed ${what}; freed ${showBytesOf(bytes, exact)} in ${showCount(chunks, "file")}\n`;
}
