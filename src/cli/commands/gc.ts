/** `shale gc`: deletes what nothing keeps. */
import type { GcResult } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showBytesOf, showCount, showJson, showMessage } from "../show.ts";
import { amount, flag } from "../values.ts";
import { noteInUse } from "./dematerialize.ts";

export const gcCommand: Command = {
  name: "gc",
  summary: "Delete what nothing keeps: no reference, no lease, no mount, no running pull.",
  arguments: [],
  options: {
    ...COMMON,
    "dry-run": { type: "boolean", short: "n", help: "show what would be deleted, and delete nothing" },
    "keep-bytes": {
      type: "size",
      argument: "SIZE",
      help: "also remove images that only references keep, least recently used first, until all files take at most SIZE",
    },
    "keep-younger": { type: "duration", argument: "TIME", help: "keep what was pulled or used within TIME (default 5m)" },
    trees: { type: "boolean", help: "also delete unused layer directories of images that stay" },
    bytes: { type: "boolean", help: "show sizes in bytes" },
  },
  notes: [
    "gc may run while other processes pull and boot. If it is interrupted, the store stays valid, and the next run finishes the work.",
  ],
  json: "{ dryRun, images, references, layers, trees, treesInUse, blobs, downloads, chunks, bytes, blobBytes, remainingBytes }, as store.gc() returns it: docs/gc.md",
  examples: [
    ["shale gc", "delete what nothing keeps"],
    ["shale gc --keep-bytes 20GB", "keep the store within a budget"],
    ["shale gc --trees --keep-younger 1d", "also delete layer directories not used for a day"],
    ["shale gc --dry-run --keep-younger 0", "show all that nothing keeps, however recently it was used"],
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
    keepYoungerMs: amount(values, "keep-younger"),
    trees: flag(values, "trees"),
    signal: context.signal,
  });
  if (reporter.json) return await print(context, `${showJson({ dryRun, ...result })}\n`);
  if (dryRun) for (const one of listed(result)) await print(context, `${one}\n`);
  noteInUse(result.treesInUse, reporter, context);
  if (dryRun && reporter.quiet) return;
  return await print(context, renderGc(result, { dryRun, exact: flag(values, "bytes") }));
}

function listed({ images, references, layers, trees, blobs, downloads }: GcResult): string[] {
  const namesOf = Map.groupBy(references, ({ manifestDigest }) => manifestDigest);
  return [
    ...images.map((id) => ["image", id, ...(namesOf.get(id) ?? []).map(({ reference }) => showMessage(reference))].join(" ")),
    ...layers.map((id) => `layer ${id}`),
    ...trees.map((id) => `tree ${id}`),
    ...blobs.map((id) => `blob ${id}`),
    ...downloads.map((id) => `download ${id}`),
  ];
}

/** `removed 2 images, 5 layers, 5 trees; freed 123 MB in 4,567 files` */
export function renderGc(result: GcResult, { dryRun, exact }: { readonly dryRun: boolean; readonly exact: boolean }): string {
  const { images, layers, trees, blobs, downloads, chunks, bytes, blobBytes, remainingBytes } = result;
  const things = (["image", "layer", "tree", "blob", "download"] as const).map((noun, at) => {
    const count = [images, layers, trees, blobs, downloads][at]!.length;
    return count === 0 ? [] : [showCount(count, noun)];
  });
  const what = things.flat().join(", ") || "nothing";
  const freed = chunks === 0 && blobBytes === 0 ? "" : `; ${dryRun ? "would free" : "freed"} ${showBytesOf(bytes + blobBytes, exact)}`;
  const files = chunks === 0 ? "" : ` in ${showCount(chunks, "file")}`;
  const rest = remainingBytes === undefined ? "" : `; ${showBytesOf(remainingBytes, exact)} ${dryRun ? "would remain" : "remain"}`;
  return `${dryRun ? "would remove" : "removed"} ${what}${freed}${files}${rest}\n`;
}
