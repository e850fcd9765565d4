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
const HEADER_KEYS = 6;
const VERSION = "sidecar/1";

/** The bytes before the first column. `lengths` covers every bin that follows, `sums` included. */
export function encodeHeader(header: Omit<SidecarHeader, "end">): Buffer {
  const lengths = Buffer.alloc(header.lengths.length * 8);
  header.lengths.forEach((length, row) => lengths.writeBigUInt64LE(BigInt(length), row * 8));
  return Buffer.concat([
    Buffer.from([0xde, 0, HEADER_KEYS + header.lengths.length]),
    key("shale"),
    key(VERSION),
    key("diffId"),
    Buffer.from([0xc4, 32]),
    header.diffId,
    key("count"),
    uint32(header.count),
    key("live"),
    uint32(header.live),
    key("indexed"),
    Buffer.from([header.indexed ? 1 : 0]),
    encodeBinStart("lengths", lengths.length),
    lengths,
  ]);
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

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes[0] = 0xce;
  bytes.writeUInt32BE(value, 1);
  return bytes;
}

/** Reads the header from the first block of a file of `fileLength` bytes; the block's checksum is not yet known. Throws SidecarError. */
export function decodeHeader(block: Buffer, fileLength: number): SidecarHeader {
  if (fileLength >= MAX_LENGTH) throw new SidecarError(`read sidecar: ${fileLength} bytes are too many`, 0);
  const cursor = new Cursor(block);
  const keys = cursor
    .expect(Buffer.from([0xde]))
    .bytes(2)
    .readUInt16BE();
  const bins = keys - HEADER_KEYS;
  if (bins <= COLUMNS.length || keys > MAX_KEYS) throw new SidecarError(`read sidecar: a map of ${keys} keys`, 1);
  cursor
    .expect(key("shale"))
    .expect(key(VERSION))
    .expect(key("diffId"))
    .expect(Buffer.from([0xc4, 32]));
  const diffId = Buffer.from(cursor.bytes(32));
  const count = cursor
    .expect(key("count"))
    .expect(Buffer.from([0xce]))
    .bytes(4)
    .readUInt32BE();
  const live = cursor
    .expect(key("live"))
    .expect(Buffer.from([0xce]))
    .bytes(4)
    .readUInt32BE();
  if (live < 1 || live > count) throw new SidecarError(`read sidecar: ${live} live of ${count} entries`, cursor.at - 4);
  const indexed = cursor.expect(key("indexed")).bytes(1)[0];
  if (indexed !== 0 && indexed !== 1) throw new SidecarError(`read sidecar: indexed is not 0 or 1`, cursor.at - 1);
  const column = cursor.expect(encodeBinStart("lengths", bins * 8)).bytes(bins * 8);
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

  bytes(length: number): Buffer {
    if (this.at + length > this.#block.length) throw new SidecarError("read sidecar: the file ends within its header", this.at);
    this.at += length;
    return this.#block.subarray(this.at - length, this.at);
  }
}
