import { S_IFDIR, S_IFMT, isName, isPath, nameOf } from "./entry.ts";
import type { SidecarEntry } from "./entry.ts";
import { EntryColumns } from "./entry-columns.ts";
import { indexColumns } from "./index-columns.ts";
import { bufferSource, fileSource, type ByteSource, type Pages } from "./pages.ts";
import { BLOCK, MAX_PATH } from "./columns.ts";
import type { ColumnName } from "./columns.ts";
import { openColumns } from "./open-columns.ts";
import { invalid } from "./sidecar-error.ts";
import type { SidecarLayout } from "./sidecar-layout.ts";
import { loadXxh64 } from "./xxh64.ts";

export interface OpenSidecarOptions {
  /** Most bytes of the file to keep in memory. Default 32 MiB. */
  readonly cacheBytes?: number;
}

/** Entries from `first` to before `end`. */
export interface EntryRange {
  readonly first: number;
  readonly end: number;
}

const CACHE_BYTES = 32 * 2 ** 20;

/**
 * A sidecar that is open for reading (sidecar.md). Entries have numbers; 0 is the root, and those before `live` are sorted by directory
 * and name. Reads are synchronous and use only the blocks that they need; each block is verified on first use. An unindexed sidecar is
 * indexed in memory when it is opened, and its entries have the numbers of the indexed form. @throws SidecarError for any byte that
 * breaks the format
 */
export class Sidecar extends EntryColumns {
  /** Whether the file itself holds the path index. */
  readonly indexed: boolean;
  #lastRow = -1;
  #lastPath = "";

  /** Opens a file by its path or by a descriptor that the caller closes. @throws SidecarError */
  static async openFile(file: string | number, options: OpenSidecarOptions = {}): Promise<Sidecar> {
    const limit = Math.max(1, Math.floor((options.cacheBytes ?? CACHE_BYTES) / BLOCK));
    const xxh64 = await loadXxh64();
    return Sidecar.#open(openColumns(fileSource(file), xxh64, limit));
  }

  /** Reads from bytes that do not change while the sidecar is open. */
  static async fromBytes(bytes: Uint8Array): Promise<Sidecar> {
    return Sidecar.#open(openBytes(bufferSource(bytes), await loadXxh64()));
  }

  static async #open(columns: EntryColumns): Promise<Sidecar> {
    if (columns.layout.indexed) return new Sidecar(columns.layout, columns.pages, true);
    try {
      const indexed = openBytes(bufferSource(await indexColumns(columns)), await loadXxh64());
      return new Sidecar({ ...indexed.layout, unknown: columns.layout.unknown }, indexed.pages, false);
    } finally {
      columns.close();
    }
  }

  private constructor(layout: SidecarLayout, pages: Pages, indexed: boolean) {
    super(layout, pages);
    this.indexed = indexed;
  }

  /** Returns the live entry with this full path, or -1. */
  lookup(path: string): number {
    if (path === "") return 0;
    const slash = path.lastIndexOf("/");
    if (slash === 0) return -1;
    const row = this.#findDirectory(path, Math.max(slash, 0));
    if (row === -1) return -1;
    const { first, end } = this.directoryRange(row);
    const found = this.#search("path", "pathEnd", { first, end }, path, slash + 1, path.length);
    return found >= 0 ? found : -1;
  }

  /** Returns the entries of a directory, sorted by name; undefined if the path is not a directory. */
  readdir(path: string): EntryRange | undefined {
    const row = this.#findDirectory(path, path.length);
    if (row !== -1) return this.directoryRange(row);
    const entry = this.lookup(path);
    return entry !== -1 && (this.mode(entry) & S_IFMT) === S_IFDIR ? { first: 0, end: 0 } : undefined;
  }

  /** Yields the live entry of this path and all entries below it, in file order: directory by directory. */
  *withPrefix(path: string): Generator<number, void, undefined> {
    const entry = this.lookup(path);
    if (entry === -1) return;
    yield entry;
    const row = this.#findDirectory(path, path.length);
    if (row !== -1) yield* range(this.directoryRange(row));
    // paths below begin with "path/", and "0" is the next character after "/"
    const first = path === "" ? row + 1 : this.#lowerBound(`${path}/`);
    const last = path === "" ? this.directoryCount : this.#lowerBound(`${path}0`);
    for (let next = first; next < last; next++) yield* range(this.directoryRange(next));
  }

  /** The directories that have entries, sorted by the bytes of their paths. The root comes first if it has entries. */
  get directoryCount(): number {
    return this.layout.spans.dirPathEnd.length / 4;
  }

  directoryPath(row: number): string {
    if (row === this.#lastRow) return this.#lastPath;
    const path = this.directory(row);
    if (!isPath(path)) throw invalid("dirPath", this.row("dirPathEnd", row, 4));
    this.#lastRow = row;
    this.#lastPath = path;
    return path;
  }

  directoryRange(row: number): EntryRange {
    const at = this.row("dirFirst", row, 4);
    const first = this.pages.u32(at);
    const end = this.pages.u32(at + 4);
    if (first < 1 || end <= first || end > this.live) throw invalid("dirFirst", at);
    return { first, end };
  }

  /** The name of a live entry in its directory; "" for the root. */
  name(entry: number): string {
    const name = this.storedPath(entry);
    if (entry >= this.live) return nameOf(name);
    if (entry === 0 ? name !== "" : !isName(name)) throw invalid("path", this.row("pathEnd", entry, 4));
    return name;
  }

  /** The row of the directory that contains a live entry other than the root. */
  directoryOf(entry: number): number {
    let [low, high] = [0, this.directoryCount];
    if (this.#lastRow !== -1 && contains(this.directoryRange(this.#lastRow), entry)) return this.#lastRow;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { first, end } = this.directoryRange(middle);
      if (entry < first) high = middle;
      else if (entry >= end) low = middle + 1;
      else return middle;
    }
    throw invalid("dirFirst", this.layout.spans.dirFirst.start);
  }

  override path(entry: number): string {
    if (entry >= this.live) return this.storedPath(entry);
    const name = this.name(entry);
    if (entry === 0) return name;
    const directory = this.directoryPath(this.directoryOf(entry));
    return directory === "" ? name : `${directory}/${name}`;
  }

  /** The live entries in file order. */
  *entriesInPathOrder(): Generator<SidecarEntry, void, undefined> {
    for (let entry = 0; entry < this.live; entry++) yield this.entry(entry);
  }

  /** The entries in the order of the layer's tar, with shadowed entries and without implicit ones. */
  *entriesInTarOrder(): Generator<SidecarEntry, void, undefined> {
    for (const entry of this.tarOrder()) yield this.entry(entry);
  }

  /** The row of the directory whose path is the first `length` characters of `path`, or -1. */
  #findDirectory(path: string, length: number): number {
    const row = this.#search("dirPath", "dirPathEnd", { first: 0, end: this.directoryCount }, path, 0, length);
    return row >= 0 ? row : -1;
  }

  /** The first directory whose path does not sort before `path`. */
  #lowerBound(path: string): number {
    const row = this.#search("dirPath", "dirPathEnd", { first: 0, end: this.directoryCount }, path, 0, path.length);
    return row >= 0 ? row : ~row;
  }

  /** Binary search among the sorted rows of a table for the characters `from` to `to` of `key`: the row, or ~row of the next one. */
  #search(bytes: ColumnName, ends: ColumnName, rows: EntryRange, key: string, from: number, to: number): number {
    let { first: low, end: high } = rows;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { start, length } = this.stringSpan(bytes, ends, middle, MAX_PATH);
      const order = this.pages.compare(start, start + length, key, from, to);
      if (order === 0) return middle;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return ~low;
  }
}

function openBytes(source: ByteSource, xxh64: Awaited<ReturnType<typeof loadXxh64>>): EntryColumns {
  return openColumns(source, xxh64, Number.POSITIVE_INFINITY);
}

function contains({ first, end }: EntryRange, entry: number): boolean {
  return entry >= first && entry < end;
}

function* range({ first, end }: EntryRange): Generator<number, void, undefined> {
  for (let entry = first; entry < end; entry++) yield entry;
}
