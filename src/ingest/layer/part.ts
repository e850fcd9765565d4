/**
 * What one slab yields: its entries as columns, and the bytes that are no file's data as a compressed frame. Parts are made by
 * whichever worker took the slab, travel to the main thread without copying, and are put together, in sequence, when the layer
 * is settled.
 */
import type { Unshared } from "../../bytes.ts";
import type { EntryKind, TarEntry } from "../../tar/entry.ts";
import type { ChunkId, Xattr } from "../../../format/index.ts";
import { INODE_ID_BYTES, type InodeId } from "../../store/ids.ts";
import { ABSENT, type StagedState } from "../../store/staged-state.ts";

export const KINDS: readonly (EntryKind | "ignored")[] = ["ignored", "file", "directory", "symlink", "hardlink", "char", "block", "fifo"];

export interface Part {
  readonly sequence: number;
  readonly count: number;
  /** DOUBLES of each row: time, size, offset. */
  readonly doubles: Unshared<Float64Array>;
  /** WORDS of each row: kind, mode, sparseness and state; owner; device; nanoseconds; row in `inodes`, counted from 1. */
  readonly words: Unshared<Uint32Array>;
  /** Path, link path and xattrs of each row, back to back. */
  readonly text: Unshared<Uint8Array>;
  /** Where each of those ends in `text`: TEXTS of each row. */
  readonly textEnds: Unshared<Uint32Array>;
  /** Chunk id (32 bytes) and native inode id (20 bytes) of each file with content. */
  readonly inodes: Unshared<Uint8Array>;
  /** Ops of format/headers.md, compressed. */
  readonly frame: Unshared<Uint8Array>;
}

export const DOUBLES = 3;
export const WORDS = 6;
export const TEXTS = 3;
export const KIND_SHIFT = 12;
export const SPARSE: number = 1 << 16;
export const STATE_SHIFT = 17;
export const MAJOR_SHIFT = 20;
export const PART_INODE_BYTES: number = 32 + INODE_ID_BYTES;

/** A file's content in the store. */
export interface StoredFile {
  readonly chunk: ChunkId;
  readonly inode: InodeId;
  readonly state: StagedState;
}

export class PartBuilder {
  readonly #sequence: number;
  readonly #doubles: number[] = [];
  readonly #words: number[] = [];
  readonly #textEnds: number[] = [];
  readonly #inodes: Uint8Array[] = [];
  readonly #texts: string[] = [];
  #textLength = 0;

  constructor(sequence: number) {
    this.#sequence = sequence;
  }

  /**
   * `offset`: of the entry's data in the uncompressed layer; `stored`: undefined unless a file with content; `state`: of a
   * directory, or what the file has.
   */
  add(entry: TarEntry, offset: number, stored: StoredFile | undefined, state: StagedState = stored?.state ?? ABSENT): void {
    if (stored) this.#inodes.push(stored.chunk, stored.inode);
    const { kind, mode, uid, gid, devMajor, devMinor, mtime, mtimeNs, size } = entry;
    this.#doubles.push(mtime, size, offset);
    this.#words.push(
      mode | (KINDS.indexOf(kind) << KIND_SHIFT) | (entry.sparse ? SPARSE : 0) | (state << STATE_SHIFT),
      uid,
      gid,
      ((devMajor << MAJOR_SHIFT) | devMinor) >>> 0,
      mtimeNs,
      stored ? this.#inodes.length / 2 : 0,
    );
    this.#text(entry.path);
    this.#text(entry.linkPath);
    this.#text(encodeXattrs(entry.xattrs));
  }

  build(frame: Uint8Array): Part {
    return {
      sequence: this.#sequence,
      count: this.#words.length / WORDS,
      doubles: Float64Array.from(this.#doubles),
      words: Uint32Array.from(this.#words),
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
  return [part.doubles.buffer, part.words.buffer, part.text.buffer, part.textEnds.buffer, part.inodes.buffer, part.frame.buffer];
}

/** Bytes of memory that a part takes. */
export function partBytes(part: Part): number {
  return partTransfer(part).reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Name, NUL, four characters of length (7 bits each), value. */
function encodeXattrs(xattrs: readonly Xattr[]): string {
  if (xattrs.length === 0) return "";
  return xattrs.map(({ name, value }) => `${name}\0${lengthText(value.length)}${value}`).join("");
}

function lengthText(length: number): string {
  return String.fromCharCode((length >>> 21) & 127, (length >>> 14) & 127, (length >>> 7) & 127, length & 127);
}

/** A small Buffer lies in Node's shared pool, which must not be transferred. */
function unshared(bytes: Uint8Array): Unshared<Uint8Array> {
  return bytes.byteLength === bytes.buffer.byteLength ? (bytes as Unshared<Uint8Array>) : Uint8Array.from(bytes);
}
