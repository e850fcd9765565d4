/**
 * What one slab yields: its entries as columns, and the bytes that are no file's data as a compressed frame. Parts are made by
 * whichever worker took the slab, travel to the main thread without copying, and are put together, in sequence, when the layer
 * is settled.
 */
import type { ByteString } from "../bytes.ts";
import type { TarEntry, Xattr } from "../tar/entry.ts";
import { INODE_ID_BYTES } from "../store/inode.ts";

const KINDS = ["ignored", "file", "directory", "symlink", "hardlink", "char", "block", "fifo"] as const;

export interface Part {
  readonly sequence: number;
  readonly count: number;
  /** NUMBERS columns a row. */
  readonly numbers: Float64Array<ArrayBuffer>;
  /** Path, link path and xattrs of each row, back to back. */
  readonly text: Uint8Array<ArrayBuffer>;
  /** Where each of those ends in `text`. */
  readonly textEnds: Uint32Array<ArrayBuffer>;
  /** Chunk id (32 bytes) and native inode id (20 bytes) of each file with content. */
  readonly inodes: Uint8Array<ArrayBuffer>;
  /** Ops of format/headers.md, compressed. */
  readonly frame: Uint8Array<ArrayBuffer>;
}

const NUMBERS = 12;
const TEXTS = 3;
export const PART_INODE_BYTES: number = 32 + INODE_ID_BYTES;

/** A file's content in the store. */
export interface StoredFile {
  readonly chunk: Uint8Array;
  readonly inode: Uint8Array;
}

export class PartBuilder {
  readonly #sequence: number;
  readonly #numbers: number[] = [];
  readonly #textEnds: number[] = [];
  readonly #inodes: Uint8Array[] = [];
  readonly #texts: string[] = [];
  #textLength = 0;

  constructor(sequence: number) {
    this.#sequence = sequence;
  }

  /** `offset`: of the entry's data in the uncompressed layer; `stored`: undefined unless a file with content. */
  add(entry: TarEntry, offset: number, stored: StoredFile | undefined): void {
    const row = stored ? this.#inodes.length / 2 : -1;
    if (stored) this.#inodes.push(stored.chunk, stored.inode);
    const { mode, uid, gid, devMajor, devMinor, mtime, mtimeNs, size } = entry;
    this.#numbers.push(
      KINDS.indexOf(entry.kind),
      mode,
      uid,
      gid,
      devMajor,
      devMinor,
      mtime,
      mtimeNs,
      size,
      offset,
      row,
      entry.sparse ? 1 : 0,
    );
    this.#text(entry.path);
    this.#text(entry.linkPath);
    this.#text(encodeXattrs(entry.xattrs));
  }

  build(frame: Uint8Array): Part {
    return {
      sequence: this.#sequence,
      count: this.#numbers.length / NUMBERS,
      numbers: Float64Array.from(this.#numbers),
      text: unshared(Buffer.from(this.#texts.join(""), "latin1")),
      textEnds: Uint32Array.from(this.#textEnds),
      inodes: unshared(Buffer.concat(this.#inodes)),
      frame: unshared(frame),
    };
  }

  #text(text: string): void {
    this.#texts.push(text);
    this.#textEnds.push((this.#textLength += text.length));
  }
}

/** The buffers that travel with a part instead of being copied. */
export function partTransfer(part: Part): ArrayBuffer[] {
  return [part.numbers.buffer, part.text.buffer, part.textEnds.buffer, part.inodes.buffer, part.frame.buffer];
}

/** Bytes of memory that a part takes. */
export function partBytes(part: Part): number {
  return partTransfer(part).reduce((sum, { byteLength }) => sum + byteLength, 0);
}

export interface PartRow {
  readonly kind: TarEntry["kind"];
  readonly path: ByteString;
  readonly linkPath: ByteString;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly mtime: number;
  readonly mtimeNs: number;
  readonly size: number;
  readonly offset: number;
  readonly xattrs: readonly Xattr[];
  readonly stored: StoredFile | undefined;
  readonly sparse: boolean;
}

export function* readPart(part: Part): Generator<PartRow> {
  const text = Buffer.from(part.text.buffer, part.text.byteOffset, part.text.byteLength).toString("latin1");
  let from = 0;
  const next = (end: number): ByteString => {
    const slice = text.slice(from, end) as ByteString;
    from = end;
    return slice;
  };
  for (let row = 0; row < part.count; row++) {
    const at = row * NUMBERS;
    const number = (column: number): number => part.numbers[at + column]!;
    const ends = row * TEXTS;
    const inode = number(10) * PART_INODE_BYTES;
    yield {
      kind: KINDS[number(0)]!,
      path: next(part.textEnds[ends]!),
      linkPath: next(part.textEnds[ends + 1]!),
      xattrs: decodeXattrs(next(part.textEnds[ends + 2]!)),
      mode: number(1),
      uid: number(2),
      gid: number(3),
      devMajor: number(4),
      devMinor: number(5),
      mtime: number(6),
      mtimeNs: number(7),
      size: number(8),
      offset: number(9),
      sparse: number(11) === 1,
      stored:
        inode < 0
          ? undefined
          : { chunk: part.inodes.subarray(inode, inode + 32), inode: part.inodes.subarray(inode + 32, inode + PART_INODE_BYTES) },
    };
  }
}

const NO_XATTRS: readonly Xattr[] = [];

/** Name, NUL, four characters of length (7 bits each), value. */
function encodeXattrs(xattrs: readonly Xattr[]): string {
  if (xattrs.length === 0) return "";
  return xattrs.map(({ name, value }) => `${name}\0${lengthText(value.length)}${value}`).join("");
}

function lengthText(length: number): string {
  return String.fromCharCode((length >>> 21) & 127, (length >>> 14) & 127, (length >>> 7) & 127, length & 127);
}

function decodeXattrs(text: string): readonly Xattr[] {
  if (text === "") return NO_XATTRS;
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

/** A small Buffer lies in Node's shared pool, which must not be transferred. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.byteLength === bytes.buffer.byteLength ? (bytes as Uint8Array<ArrayBuffer>) : Uint8Array.from(bytes);
}
