/** `shale du`: what takes the room. */
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showAge, showBytesOf, showCount, showDigest, showJson, showMessage } from "../show.ts";
import { renderTable, type Column } from "../table.ts";
import { flag } from "../values.ts";
import { listImages } from "./images.ts";

export const duCommand: Command = {
  name: "du",
  summary: "Shows what takes the room of the store: each image alone and shared, largest first, and the sum.",
  arguments: [],
  options: { ...COMMON, bytes: { type: "boolean", help: "sizes in bytes" } },
  notes: [
    "ALONE is what only this image has: removing it frees that. SHARED is what other images have too. In the sum each file counts once; unused is what belongs to no image: shale gc frees it.",
    "With --quiet only the sum is printed, in bytes.",
  ],
  json: "{ images: [{ references, manifestDigest, alone, shared, reasons, lastUse }], chunks, bytes, unused }, in bytes",
  examples: [
    ["shale du", "a table"],
    ["shale du --quiet", "the bytes of all files"],
  ],
  run: du,
};

const COLUMNS: readonly Column[] = [
  { title: "ALONE", right: true },
  { title: "SHARED", right: true },
  { title: "LAST USED", drops: 1 },
  { title: "DIGEST", drops: 2 },
  { title: "IMAGE", shrinks: true },
];

async function du(line: Line, context: Context): Promise<void> {
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const usage = await store.usage({ signal: context.signal });
  const { chunks, bytes, unused } = usage;
  if (reporter.quiet && !reporter.json) return await print(context, `${bytes}\n`);
  const listed = listImages(await store.images(), usage).map(({ references, manifestDigest, size = 0, shared = 0, reasons, lastUse }) => {
    return { references, manifestDigest, alone: size - shared, shared, reasons, lastUse };
  });
  const images = listed.sort((a, b) => b.alone - a.alone || b.shared - a.shared);
  if (reporter.json) return await print(context, `${showJson({ images, chunks, bytes, unused })}\n`);
  const exact = flag(line.values, "bytes");
  const now = (context.now ?? Date.now)();
  const rows = images.map(({ references, manifestDigest, alone, shared, lastUse }) => {
    const more = references.length > 1 ? ` (+${references.length - 1})` : "";
    const name = references[0] ? `${showMessage(references[0].reference)}${more}` : "(none)";
    return [showBytesOf(alone, exact), showBytesOf(shared, exact), showAge(lastUse, now), showDigest(manifestDigest), name];
  });
  const sum = `${showBytesOf(bytes, exact)} in ${showCount(chunks, "file")} of ${showCount(images.length, "image")}, ${showBytesOf(unused, exact)} unused`;
  return await print(context, `${rows.length > 0 ? await renderTable(COLUMNS, rows, context) : ""}${sum}\n`);
}
