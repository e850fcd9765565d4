/**
 * The entries of a whole layer, read in place from its parts. An entry is a row number. Values are computed at each access and not kept, which
 * keeps a layer of a million entries small.
 */
import type { ByteString } from "../../bytes.ts";
import { chunkId, inodeIdAt } from "../../store/ids.ts";
import type { StagedState } from "../../store/staged-state.ts";
import type { TarEntry } from "../../tar/entry.ts";
import type { Xattr } from "../../../format/entry.ts";
import {
  DOUBLES,
  KIND_SHIFT,
  KINDS,
  MAJOR_SHIFT,
  PART_INODE_BYTES,
  STATE_SHIFT,
  SPARSE,
  TEXTS,
  WORDS,
  type Part,
  type StoredFile,
} from "./part.ts";

/** An entry of the layer's tar without its names. */
export interface EntryRow extends Pick<
  TarEntry,
  "kind" | "mode" | "uid" | "gid" | "devMajor" | "devMinor" | "mtime" | "mtimeNs" | "size" | "xattrs"
> {
  /** Offset of the entry's data in the uncompressed layer; 0 unless it is a file with content. */
  readonly offset: number;
  readonly sparse: boolean;
}

interface Columns extends Pick<Part, "doubles" | "words" | "textEnds" | "inodes"> {
  readonly text: Buffer;
  /** Its rows in the table: [first, end). */
  readonly first: number;
  readonly end: number;
}

const NO_XATTRS: readonly Xattr[] = [];

export class EntryTable {
  readonly parts: readonly Part[];
  readonly count: number;
  readonly #columns: readonly Columns[];
  /** The last accessed part: rows are mostly accessed in order. */
  #last: Columns | undefined;

  /** `parts` in sequence. */
  constructor(parts: readonly Part[]) {
    this.parts = parts;
    let end = 0;
    this.#columns = parts.map(({ count, doubles, words, text, textEnds, inodes }) => {
      const first = end;
      end += count;
      return { doubles, words, text: Buffer.from(text.buffer, text.byteOffset, text.byteLength), textEnds, inodes, first, end };
    });
    this.count = end;
  }

  /** `index`: position of the entry in the tar, from 0. */
  row(index: number): EntryRow {
    const { doubles, words, first } = this.#columnsOf(index);
    const double = (index - first) * DOUBLES;
    const word = (index - first) * WORDS;
    const kind = words[word]!;
    const device = words[word + 3]!;
    return {
      kind: KINDS[(kind >>> KIND_SHIFT) & 15]!,
      mode: kind & 0o7777,
      sparse: (kind & SPARSE) !== 0,
      uid: words[word + 1]!,
      gid: words[word + 2]!,
      devMajor: device >>> MAJOR_SHIFT,
      devMinor: device & ((1 << MAJOR_SHIFT) - 1),
      mtime: doubles[double]!,
      mtimeNs: words[word + 4]!,
      size: doubles[double + 1]!,
      offset: doubles[double + 2]!,
      xattrs: this.#xattrs(index),
    };
  }

  kind(index: number): EntryRow["kind"] {
    const { words, first } = this.#columnsOf(index);
    return KINDS[(words[(index - first) * WORDS]! >>> KIND_SHIFT) & 15]!;
  }

  /** How the staged tree contains the entry, at the path as the entry spells it. */
  state(index: number): StagedState {
    const { words, first } = this.#columnsOf(index);
    return ((words[(index - first) * WORDS]! >>> STATE_SHIFT) & 3) as StagedState;
  }

  offset(index: number): number {
    const { doubles, first } = this.#columnsOf(index);
    return doubles[(index - first) * DOUBLES + 2]!;
  }

  path(index: number): ByteString {
    return this.#text(index, 0);
  }

  linkPath(index: number): ByteString {
    return this.#text(index, 1);
  }

  /** All paths in order. The text of a part is decoded at once: copy what you keep of a path, or it keeps the whole text alive. */
  eachPath(visit: (path: ByteString, row: number) => void): void {
    for (const { text, textEnds, first, end } of this.#columns) {
      const all = text.toString("latin1") as ByteString;
      for (let row = first, at = 0; row < end; row++, at += TEXTS)
        visit(all.slice(at === 0 ? 0 : textEnds[at - 1], textEnds[at]) as ByteString, row);
    }
  }

  /** Views. */
  stored(index: number): StoredFile | undefined {
    const { words, inodes, first } = this.#columnsOf(index);
    const end = words[(index - first) * WORDS + 5]! * PART_INODE_BYTES;
    if (end === 0) return undefined;
    const start = end - PART_INODE_BYTES;
    return { chunk: chunkId(inodes.subarray(start, start + 32)), inode: inodeIdAt(inodes, start + 32), state: this.state(index) };
  }

  #xattrs(index: number): readonly Xattr[] {
    const { textEnds, first } = this.#columnsOf(index);
    const at = (index - first) * TEXTS + 2;
    return textEnds[at] === textEnds[at - 1] ? NO_XATTRS : decodeXattrs(this.#text(index, 2));
  }

  #text(index: number, column: number): ByteString {
    const { text, textEnds, first } = this.#columnsOf(index);
    const at = (index - first) * TEXTS + column;
    return text.toString("latin1", at === 0 ? 0 : textEnds[at - 1]!, textEnds[at]) as ByteString;
  }

  #columnsOf(index: number): Columns {
    const last = this.#last;
    return last !== undefined && index >= last.first && index < last.end ? last : this.#seek(index);
  }

  #seek(index: number): Columns {
    if (!(index >= 0 && index < this.count)) throw new RangeError(`the layer has no entry ${index}`);
    let [low, high] = [0, this.#columns.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.#columns[middle]!.first <= index) low = middle;
      else high = middle - 1;
    }
    return (this.#last = this.#columns[low]!);
  }
}

/** The inverse of the part's builder. */
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
