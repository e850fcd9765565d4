/** Prints sidecars as text: a table like `ls -l` for people, or lossless JSON lines for programs. */
import { Flag, Sidecar, SidecarError, verifySidecar } from "../../format/index.ts";
import { toByteString } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import { compareSidecars, differenceJson, differenceLines } from "./compare-sidecars.ts";
import { entryJson, entryLine, TABLE_HEAD } from "./entry-text.ts";
import { findSidecars, type FindOptions, type FoundSidecar } from "./find-sidecars.ts";
import { sidecarStats, statsLines } from "./sidecar-stats.ts";

export interface DumpIndexOptions extends FindOptions {
  /** `entries` (default): the entries. `header`: the container and its columns. `stats`: totals. */
  readonly show?: "entries" | "header" | "stats" | undefined;
  /** Print JSON lines, each an object with `kind`, shadowed entries included. Default false: text. */
  readonly json?: boolean | undefined;
  /** Text only: also print shadowed entries, after the live ones. Default false. */
  readonly all?: boolean | undefined;
  /** Print only this path and the entries below it. */
  readonly prefix?: string | Uint8Array | undefined;
  /** Print only whiteouts and opaque directories. */
  readonly whiteouts?: boolean | undefined;
}

/**
 * Yields lines, without line feeds, about the sidecar in a file, the sidecar of a layer (diff ID), or those of all layers of an image
 * (reference), bottom to top.
 * @throws NOT_CACHED, REFERENCE_INVALID, PLATFORM_INVALID, SIDECAR_INVALID (with the byte offset) for a damaged or foreign file
 */
export async function* dumpIndex(target: string, options: DumpIndexOptions = {}): AsyncGenerator<string, void, undefined> {
  const found = findSidecars(target, options);
  for (const one of found) {
    if (found.length > 1 || one.index !== undefined || options.json) yield layerLine(one, options);
    yield* guarded(one.file, dumpOne(one.file, options));
  }
}

/** Yields the differences between two layers as lines; none if their live entries are equal. @throws as `dumpIndex` */
export async function* diffIndex(before: string, after: string, options: DumpIndexOptions = {}): AsyncGenerator<string, void, undefined> {
  const [a, b] = [single(before, options), single(after, options)];
  using left = await open(a);
  using right = await open(b);
  try {
    for (const difference of compareSidecars(left, right)) {
      if (options.json) yield JSON.stringify(differenceJson(difference));
      else yield* differenceLines(difference);
    }
  } catch (error) {
    throw dumpError(error, `${a} or ${b}`);
  }
}

function single(target: string, options: FindOptions): string {
  const [first, ...others] = findSidecars(target, options);
  if (first && others.length === 0) return first.file;
  throw new RangeError(`${JSON.stringify(target)} has ${others.length + 1} layers; compare two of them by diff ID`);
}

async function open(file: string): Promise<Sidecar> {
  try {
    return await Sidecar.openFile(file);
  } catch (error) {
    throw dumpError(error, file);
  }
}

function layerLine({ file, index }: FoundSidecar, { json }: DumpIndexOptions): string {
  if (json) return JSON.stringify({ kind: "sidecar", file, ...(index !== undefined && { index }) });
  return `# ${index === undefined ? "" : `layer ${index}: `}${file}`;
}

async function* guarded(file: string, lines: AsyncGenerator<string, void, undefined>): AsyncGenerator<string, void, undefined> {
  try {
    yield* lines;
  } catch (error) {
    throw dumpError(error, file);
  }
}

/** Verifies the whole file first, so that a damaged file gives an error with the byte offset and no partial output. */
async function* dumpOne(file: string, options: DumpIndexOptions): AsyncGenerator<string, void, undefined> {
  await verifySidecar(file);
  using sidecar = await Sidecar.openFile(file);
  switch (options.show ?? "entries") {
    case "header":
      return yield* headerLines(sidecar, options);
    case "stats": {
      const stats = sidecarStats(sidecar, file);
      return yield* options.json ? [JSON.stringify({ kind: "stats", ...stats })] : statsLines(stats);
    }
    case "entries":
      return yield* options.json ? jsonLines(sidecar, options) : tableLines(sidecar, options);
  }
}

function* tableLines(sidecar: Sidecar, options: DumpIndexOptions): Generator<string, void, undefined> {
  yield TABLE_HEAD;
  for (const entry of selected(sidecar, options, options.all ?? false)) yield entryLine(sidecar, entry);
}

function* jsonLines(sidecar: Sidecar, options: DumpIndexOptions): Generator<string, void, undefined> {
  const positions = new Int32Array(sidecar.count).fill(-1);
  for (let k = 0; k < sidecar.tarCount; k++) positions[sidecar.tarEntry(k)] = k;
  for (const entry of selected(sidecar, options, true)) {
    const { kind, ...fields } = entryJson(sidecar, entry, positions[entry]! < 0 ? null : positions[entry]!);
    yield JSON.stringify({ kind: "entry", type: kind, ...fields });
  }
}

/** Yields the numbers of the entries that pass the filters. */
function* selected(sidecar: Sidecar, { prefix, whiteouts }: DumpIndexOptions, shadowed: boolean): Generator<number> {
  const wanted = prefix === undefined ? "" : toByteString(prefix).replace(/^\/+/, "").replace(/\/+$/, "");
  const passes = (entry: number): boolean => !whiteouts || (sidecar.flags(entry) & (Flag.whiteout | Flag.opaque)) !== 0;
  for (const entry of sidecar.withPrefix(wanted)) if (passes(entry)) yield entry;
  if (!shadowed) return;
  for (let entry = sidecar.live; entry < sidecar.count; entry++) {
    const path = sidecar.path(entry);
    if ((wanted === "" || path === wanted || path.startsWith(`${wanted}/`)) && passes(entry)) yield entry;
  }
}

function* headerLines(sidecar: Sidecar, { json }: DumpIndexOptions): Generator<string, void, undefined> {
  const { layout, count, live, indexed, unknownKeys } = sidecar;
  const columns = [...Object.entries(layout.spans), ...layout.unknown.map(({ key, span }) => [key, span] as const)];
  const about = { format: "sidecar/1", diffId: `sha256:${sidecar.diffId.toString("hex")}`, count, live, indexed };
  if (json) {
    yield JSON.stringify({ kind: "header", ...about, unknownKeys, columns: columns.map(([key, span]) => ({ key, ...span })) });
    return;
  }
  for (const [key, value] of Object.entries(about)) yield `${key.padEnd(12)} ${value}`;
  // an unindexed file is indexed in memory when it is opened, so the positions would not be those in the file
  if (!indexed) return;
  yield `${"column".padEnd(12)} ${"byte".padStart(12)} ${"length".padStart(12)}`;
  for (const [key, { start, length }] of columns) {
    yield `${key.padEnd(12)} ${String(start).padStart(12)} ${String(length).padStart(12)}${unknownKeys.includes(key) ? " unknown" : ""}`;
  }
}

function dumpError(error: unknown, file: string): unknown {
  if (!(error instanceof SidecarError)) return error;
  const what = error.message.replace(/^read sidecar: /, "");
  return new ShaleError(
    "SIDECAR_INVALID",
    `cannot read the sidecar ${JSON.stringify(file)}: at byte ${error.offset}: ${what}`,
    { offset: error.offset },
    { cause: error },
  );
}
