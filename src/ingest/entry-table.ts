/**
 * The entries of a whole layer, read where its parts have them: a row costs memory only while somebody holds it, and then two
 * words. That is what keeps a layer of a million entries small.
 */
import type { ByteString } from "../bytes.ts";
import type { Placing } from "../store/placing.ts";
import type { TarEntry, Xattr } from "../tar/entry.ts";
import {
  DOUBLES,
  KIND_SHIFT,
  KINDS,
  MAJOR_SHIFT,
  PART_INODE_BYTES,
  PLACING_SHIFT,
  SPARSE,
  TEXTS,
  WORDS,
  type Part,
  type StoredFile,
} from "./part.ts";

/** An entry of the layer's tar, and where its content went. */
export interface EntryRow extends Pick<
  TarEntry,
  "kind" | "path" | "linkPath" | "mode" | "uid" | "gid" | "devMajor" | "devMinor" | "mtime" | "mtimeNs" | "size" | "xattrs"
> {
  /** Of the entry's data in the uncompressed layer; 0 unless a file with content. */
  readonly offset: number;
  readonly stored: StoredFile | undefined;
  readonly sparse: boolean;
}

export class EntryTable implements Iterable<EntryRow> {
  readonly count: number;
  readonly #columns: readonly Columns[];
  /** Number of the first row of each part. */
  readonly #firsts: readonly number[];
  #at = 0;

  /** `parts` in sequence. */
  constructor(parts: readonly Part[]) {
    this.#columns = parts.map((part) => ({ ...part, text: Buffer.from(part.text.buffer, part.text.byteOffset, part.text.byteLength) }));
    let count = 0;
    this.#firsts = parts.map((part) => (count += part.count) - part.count);
    this.count = count;
  }

  /** `index` is the entry's place in the tar, from 0. Each call gives an object of its own. */
  row(index: number): EntryRow {
    if (!(index >= 0 && index < this.count)) throw new RangeError(`the layer has no entry ${index}`);
    const at = this.#partOf(index);
    return new TableRow(this.#columns[at]!, index - this.#firsts[at]!);
  }

  /** What the staged tree has of it, under the path that the entry spells. */
  placing(index: number): Placing {
    const at = this.#partOf(index);
    return placingOf(this.#columns[at]!, index - this.#firsts[at]!);
  }

  *[Symbol.iterator](): Generator<EntryRow> {
    for (let index = 0; index < this.count; index++) yield this.row(index);
  }

  /** Rows are mostly asked for in turn. */
  #partOf(index: number): number {
    const holds = (part: number): boolean => index >= this.#firsts[part]! && index < this.#firsts[part]! + this.#columns[part]!.count;
    if (holds(this.#at)) return this.#at;
    let [low, high] = [0, this.#firsts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#firsts[middle]! <= index) low = middle;
      else high = middle - 1;
    }
    return (this.#at = low);
  }
}

interface Columns extends Omit<Part, "text"> {
  readonly text: Buffer;
}

function placingOf({ words }: Columns, row: number): Placing {
  return ((words[row * WORDS]! >>> PLACING_SHIFT) & 3) as Placing;
}

const NO_XATTRS: readonly Xattr[] = [];

class TableRow implements EntryRow {
  readonly #columns: Columns;
  readonly #row: number;

  constructor(columns: Columns, row: number) {
    this.#columns = columns;
    this.#row = row;
  }

  get kind(): EntryRow["kind"] {
    return KINDS[(this.#word(0) >>> KIND_SHIFT) & 15]!;
  }

  get sparse(): boolean {
    return (this.#word(0) & SPARSE) !== 0;
  }

  get mode(): number {
    return this.#word(0) & 0o7777;
  }

  get uid(): number {
    return this.#word(1);
  }

  get gid(): number {
    return this.#word(2);
  }

  get devMajor(): number {
    return this.#word(3) >>> MAJOR_SHIFT;
  }

  get devMinor(): number {
    return this.#word(3) & ((1 << MAJOR_SHIFT) - 1);
  }

  get mtime(): number {
    return this.#columns.doubles[this.#row * DOUBLES]!;
  }

  get mtimeNs(): number {
    return this.#word(4);
  }

  get size(): number {
    return this.#columns.doubles[this.#row * DOUBLES + 1]!;
  }

  get offset(): number {
    return this.#columns.doubles[this.#row * DOUBLES + 2]!;
  }

  get stored(): StoredFile | undefined {
    const row = this.#word(5);
    if (row === 0) return undefined;
    const end = row * PART_INODE_BYTES;
    const start = end - PART_INODE_BYTES;
    const { inodes } = this.#columns;
    return {
      chunk: inodes.subarray(start, start + 32),
      inode: inodes.subarray(start + 32, end),
      placing: placingOf(this.#columns, this.#row),
    };
  }

  get path(): ByteString {
    return this.#text(0);
  }

  get linkPath(): ByteString {
    return this.#text(1);
  }

  get xattrs(): readonly Xattr[] {
    const text = this.#text(2);
    return text === "" ? NO_XATTRS : decodeXattrs(text);
  }

  #word(column: number): number {
    return this.#columns.words[this.#row * WORDS + column]!;
  }

  #text(column: number): ByteString {
    const { text, textEnds } = this.#columns;
    const at = this.#row * TEXTS + column;
    return text.toString("latin1", at === 0 ? 0 : textEnds[at - 1]!, textEnds[at]) as ByteString;
  }
}

/** The inverse of what the part's builder writes. */
function decodeXattrs(text: string): readonly Xattr[] {
  const xattrs: Xattr[] = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\0", at);
    const code = (index: number): number => text.charCodeAt(end + index);
    const length = (code(1) << 21) | (code(2) << 14) | (code(3) << 7) | code(4);
    xattrs.push({ name: text.slice(at, end) as ByteString, value: text.slice(end + 5, end + 5 + length) as ByteString });
    at = end + 5 + length;
  }
  return xattrs;
}
