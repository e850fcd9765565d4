/** `shale images`: lists the images in the store. */
import type { StoredImage, Usage } from "../../index.ts";
import type { Command, Context, Line } from "../command.ts";
import { openExistingStore } from "../open-store.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { Reporter } from "../reporter.ts";
import { showAge, showBytesOf, showDigest, showJson, shortReference, showMessage, showPlatform } from "../show.ts";
import { showKeepers } from "../show-reason.ts";
import { renderTable, type Column } from "../table.ts";
import { flag } from "../values.ts";

export const imagesCommand: Command = {
  name: "images",
  summary: "List the images in the store.",
  arguments: [],
  options: {
    ...COMMON,
    bytes: { type: "boolean", help: "show sizes in bytes" },
    "no-size": { type: "boolean", help: "omit the sizes: to compute them, every file of the store is examined" },
  },
  notes: [
    "One line per reference and platform. An image that only a lease keeps has no reference. SIZE is the size of the image's files, SHARED the part of it that other images use, too: removing the image frees the difference. KEPT BY shows what keeps the image besides its reference.",
    "With --quiet: only the references.",
  ],
  json: "{ images: [{ references: [{ reference, platform }], manifestDigest, platform, layers, size, shared, reasons, lastUse }] }, size and shared in bytes (not with --no-size), lastUse in ms since 1970",
  examples: [
    ["shale images", "show a table"],
    ["shale rm $(shale images --quiet)", "remove all references"],
  ],
  run: images,
};

const COLUMNS: readonly Column[] = [
  { title: "REFERENCE", shrinks: true, shorten: shortReference },
  { title: "DIGEST", drops: 2 },
  { title: "PLATFORM", drops: 1 },
  { title: "SIZE", right: true },
  { title: "SHARED", right: true, drops: 3 },
  { title: "LAST USED", drops: 4 },
  { title: "KEPT BY", drops: 5 },
];
const SIZES: readonly string[] = ["SIZE", "SHARED"];

interface Listed extends Pick<StoredImage, "manifestDigest" | "references" | "reasons" | "lastUse"> {
  readonly platform: string;
  readonly layers: number;
  readonly size?: number;
  readonly shared?: number;
}

async function images(line: Line, context: Context): Promise<void> {
  const { values } = line;
  const reporter = new Reporter(line, context);
  await using store = await openExistingStore(line, context, reporter.warn);
  const sized = !flag(values, "no-size") && (reporter.json || !reporter.quiet);
  const usage = sized ? await store.usage({ signal: context.signal }) : undefined;
  const listed = listImages(await store.images(), usage);
  if (reporter.json) return await print(context, `${showJson({ images: listed })}\n`);
  if (reporter.quiet) {
    const references = new Set(listed.flatMap((image) => image.references.map(({ reference }) => showMessage(reference))));
    return await print(context, [...references].map((reference) => `${reference}\n`).join(""));
  }
  if (listed.length === 0) return reporter.note("no images; pull one with shale pull");
  const exact = flag(values, "bytes");
  const now = (context.now ?? Date.now)();
  const rows = listed.flatMap((image) => rowsOf(image, { exact, now }));
  const shown = COLUMNS.map(({ title }) => usage !== undefined || !SIZES.includes(title));
  const keep = <T>(cells: readonly T[]): T[] => cells.filter((_, at) => shown[at]);
  return await print(context, await renderTable(keep(COLUMNS), rows.map(keep), context));
}

/** By reference; those without one last. */
export function listImages(stored: readonly StoredImage[], usage: Usage | undefined): Listed[] {
  const sizes = new Map(usage?.images.map((image) => [image.manifestDigest, image]));
  const listed = stored.map(({ manifestDigest, config, layers, references, reasons, lastUse }) => {
    const size = sizes.get(manifestDigest);
    const weighed = size && { size: size.alone + size.shared, shared: size.shared };
    const sorted = references.toSorted((a, b) => compare(a.reference, b.reference));
    return {
      references: sorted,
      manifestDigest,
      platform: showPlatform(config.platform),
      layers: layers.length,
      ...weighed,
      reasons,
      lastUse,
    };
  });
  return listed.sort((a, b) => compare(sortKey(a), sortKey(b)));
}

function sortKey({ references, manifestDigest }: Listed): string {
  return references[0]?.reference ?? `\u{10ffff}${manifestDigest}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function rowsOf(image: Listed, { exact, now }: { readonly exact: boolean; readonly now: number }): string[][] {
  const { references, manifestDigest, platform, size = 0, shared = 0, lastUse, reasons } = image;
  const leases = reasons.flatMap((reason) => (reason.kind === "lease" ? [reason.name] : []));
  const names =
    references.length > 0 ? references : [{ reference: leases.length > 0 ? `(lease ${leases.join(", ")})` : "(none)", platform }];
  return names.map((name) => [
    showMessage(name.reference),
    showDigest(manifestDigest),
    showMessage(name.platform),
    showBytesOf(size, exact),
    showBytesOf(shared, exact),
    showAge(lastUse, now),
    showKeepers(reasons, name),
  ]);
}
