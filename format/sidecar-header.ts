import type { Schema } from "./msgpack.ts";
import { SidecarError } from "./sidecar-error.ts";
import { COLUMNS, MAX_LENGTH } from "./columns.ts";

export interface SidecarHeader {
  readonly diffId: Buffer;
  readonly count: number;
  readonly live: number;
  readonly indexed: boolean;
  /** Byte lengths of all bins after the header, `sums` last. */
  readonly lengths: readonly number[];
  /** Where the header ends and the first column's key begins. */
  readonly end: number;
}

const MAX_KEYS = 256;
const VERSION = "sidecar/1";

/** The keys before the first column. */
const HEADER = { shale: "text", diffId: "bin", count: "uint", live: "uint", indexed: "uint", lengths: "bin" } as const satisfies Schema;

/**
 * The bytes before the first column. `lengths` covers every bin that follows, `sums` included. What only reads sidecars never loads
 * msgpackr.
 */
export async function encodeHeader({ diffId, count, live, indexed, lengths }: Omit<SidecarHeader, "end">): Promise<Buffer> {
  const { encodeMapStart } = await import("./msgpack.ts");
  const column = Buffer.alloc(lengths.length * 8);
  lengths.forEach((length, row) => column.writeBigUInt64LE(BigInt(length), row * 8));
  return encodeMapStart(HEADER, { shale: VERSION, diffId, count, live, indexed: Number(indexed), lengths: column }, lengths.length);
}

/** A key and the five bytes that begin its bin32. */
export function encodeBinStart(name: string, length: number): Buffer {
  const start = Buffer.alloc(5);
  start[0] = 0xc6;
  start.writeUInt32BE(length, 1);
  return Buffer.concat([key(name), start]);
}

function key(name: string): Buffer {
  return Buffer.concat([Buffer.from([0xa0 | name.length]), Buffer.from(name, "latin1")]);
}

/** Reads the header from the first block of a file of `fileLength` bytes; the block's checksum is not yet known. Throws SidecarError. */
export function decodeHeader(block: Buffer, fileLength: number): SidecarHeader {
  if (fileLength >= MAX_LENGTH) throw new SidecarError(`read sidecar: ${fileLength} bytes are too many`, 0);
  const cursor = new Cursor(block);
  const keys = cursor
    .expect(Buffer.from([0xde]))
    .bytes(2)
    .readUInt16BE();
  const bins = keys - Object.keys(HEADER).length;
  if (bins <= COLUMNS.length || keys > MAX_KEYS) throw new SidecarError(`read sidecar: a map of ${keys} keys`, 1);
  cursor
    .expect(key("shale"))
    .expect(key(VERSION))
    .expect(key("diffId"))
    .expect(Buffer.from([0xc4, 32]));
  const diffId = Buffer.from(cursor.bytes(32));
  const count = cursor.expect(key("count")).uint32();
  const liveAt = cursor.at;
  const live = cursor.expect(key("live")).uint32();
  if (live < 1 || live > count) throw new SidecarError(`read sidecar: ${live} live of ${count} entries`, liveAt);
  const indexed = cursor.expect(key("indexed")).bytes(1)[0];
  if (indexed !== 0 && indexed !== 1) throw new SidecarError(`read sidecar: indexed is not 0 or 1`, cursor.at - 1);
  const column = cursor.expect(key("lengths")).bin(bins * 8);
  const lengths = Array.from({ length: bins }, (_, row) => Number(column.readBigUInt64LE(row * 8)));
  return { diffId, count, live, indexed: indexed === 1, lengths, end: cursor.at };
}

/** A strict reader: what is not expected is an error at its offset. */
class Cursor {
  at = 0;
  readonly #block: Buffer;

  constructor(block: Buffer) {
    this.#block = block;
  }

  expect(bytes: Buffer): this {
    const start = this.at;
    if (!this.bytes(bytes.length).equals(bytes)) throw new SidecarError(`read sidecar: not the header of ${VERSION}`, start);
    return this;
  }

  /** An integer in its shortest form. */
  uint32(): number {
    const start = this.at;
    const first = this.bytes(1)[0]!;
    if (first < 0x80) return first;
    const width = first === 0xcc ? 1 : first === 0xcd ? 2 : first === 0xce ? 4 : 0;
    const value = width === 0 ? 0 : this.bytes(width).readUIntBE(0, width);
    const least = width === 1 ? 0x80 : width === 2 ? 0x100 : 0x1_0000;
    if (value < least) throw new SidecarError(`read sidecar: not an integer of ${VERSION}`, start);
    return value;
  }

  /** A bin of this length, below 65,536, in its shortest form. */
  bin(length: number): Buffer {
    this.expect(length < 256 ? Buffer.from([0xc4, length]) : Buffer.from([0xc5, length >> 8, length & 255]));
    return this.bytes(length);
  }

  bytes(length: number): Buffer {
    if (this.at + length > this.#block.length) throw new SidecarError("read sidecar: the file ends within its header", this.at);
    this.at += length;
    return this.#block.subarray(this.at - length, this.at);
  }
}
