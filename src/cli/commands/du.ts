/** `shale du`: shows what takes the space. */
import type { ImageUsage, StoredImage, Usage } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showAge, showBytesOf, showCount, showDigest, showJson, shortReference, showMessage, showNumber } from "../show.ts";
import { renderTable, type Column } from "../table.ts";
import { flag } from "../values.ts";
import { listImages } from "./images.ts";

export const duCommand: Command = {
  name: "du",
  summary: "Show the space that each image takes, alone and shared, and the total.",
  arguments: [],
  options: {
    ...COMMON,
    layers: { type: "boolean", help: "show each layer, too" },
    bytes: { type: "boolean", help: "show sizes in bytes" },
  },
  notes: [
    "ALONE is the space that only this image uses: removing the image frees it. SHARED is used by other images, too. The total counts each file once. Unused files belong to no image: shale gc deletes them.",
    "Layer directories are hard links to these files: they are counted, but add no content. With --quiet: only the total, in bytes.",
  ],
  json: "{ images: [{ references, manifestDigest, alone, shared, reasons, lastUse }], layers: [{ diffId, images, alone, shared }], chunks, bytes, unused, blobs, blobBytes, downloadBytes, trees }, in bytes",
  examples: [
    ["shale du", "show a table"],
    ["shale du --quiet", "print the total in bytes"],
  ],
  run: du,
};

const COLUMNS: readonly Column[] = [
  { title: "ALONE", right: true },
  { title: "SHARED", right: true },
  { title: "LAST USED", drops: 1 },
  { title: "DIGEST", drops: 2 },
  { title: "IMAGE", shrinks: true, shorten: shortReference },
];

const LAYER_COLUMNS: readonly Column[] = [
  { title: "ALONE", right: true },
  { title: "SHARED", right: true },
  { title: "IN", drops: 1 },
  { title: "LAYER", shrinks: true },
];

async function du(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const usage = await store.usage({ signal: context.signal });
  if (reporter.quiet && !reporter.json) return await print(context, `${usage.bytes}\n`);
  const images = weighed(await store.images(), usage);
  if (reporter.json) return await print(context, `${showJson({ ...usage, images })}\n`);
  const exact = flag(line.values, "bytes");
  const now = (context.now ?? Date.now)();
  const rows = images.map(({ references, manifestDigest, alone, shared, lastUse }) => {
    const more = references.length > 1 ? ` (+${references.length - 1})` : "";
    const name = references[0] ? `${showMessage(references[0].reference)}${more}` : "(none)";
    return [showBytesOf(alone, exact), showBytesOf(shared, exact), showAge(lastUse, now), showDigest(manifestDigest), name];
  });
  if (rows.length > 0) await print(context, await renderTable(COLUMNS, rows, context));
  if (flag(line.values, "layers")) await print(context, `\n${await renderTable(LAYER_COLUMNS, layerRows(usage, exact), context)}`);
  return await print(context, `${rows.length > 0 ? "\n" : ""}${sum(usage, exact)}`);
}

type Weighed = Pick<ImageUsage, "manifestDigest" | "reasons" | "lastUse" | "alone" | "shared"> &
  Pick<ReturnType<typeof listImages>[number], "references">;

/** Largest first. */
function weighed(stored: readonly StoredImage[], usage: Usage): Weighed[] {
  const images = listImages(stored, usage).map(({ references, manifestDigest, size = 0, shared = 0, reasons, lastUse }) => {
    return { references, manifestDigest, alone: size - shared, shared, reasons, lastUse };
  });
  return images.sort((a, b) => b.alone - a.alone || b.shared - a.shared);
}

function layerRows({ layers }: Usage, exact: boolean): string[][] {
  const sorted = layers.toSorted((a, b) => b.alone - a.alone || b.shared - a.shared);
  return sorted.map(({ diffId, images, alone, shared }) => {
    return [showBytesOf(alone, exact), showBytesOf(shared, exact), showCount(images.length, "image"), diffId];
  });
}

function sum({ images, chunks, bytes, unused, blobs, blobBytes, downloadBytes, trees }: Usage, exact: boolean): string {
  const size = (value: number): string => showBytesOf(value, exact);
  const rows = [
    [size(bytes), `in ${showCount(chunks, "file")} of ${showCount(images.length, "image")}`],
    ...(unused > 0 ? [[size(unused), "of them unused: shale gc deletes them"] as const] : []),
    ...(blobBytes > 0 ? [[size(blobBytes), `in ${showCount(blobs, "kept blob")}`] as const] : []),
    ...(downloadBytes > 0 ? [[size(downloadBytes), "in unfinished downloads"] as const] : []),
    [showNumber(trees), `layer ${trees === 1 ? "directory" : "directories"} of hard links to these files`],
  ] as const;
  const width = Math.max(...rows.map(([amount]) => amount.length));
  return rows.map(([amount, what]) => `${amount.padStart(width)} ${what}\n`).join("");
}
