import { SidecarError } from "./sidecar-error.ts";

/** Bytes that one checksum covers, and that a paged reader reads at a time. */
export const BLOCK = 65_536;

/** A sidecar is shorter than this, so that every position in it is a u32. */
export const MAX_LENGTH: number = 2 ** 32;

/** A path, a name or a target has at most this many bytes; an xattr set at most this. */
export const MAX_PATH: number = 2 ** 20;
export const MAX_XATTR_SET: number = 2 ** 24;

/** No row of a table: the `chunk` column's "none". */
export const NO_ROW = 0xffff_ffff;

export type ColumnName =
  | "path"
  | "pathEnd"
  | "dirPath"
  | "dirPathEnd"
  | "dirFirst"
  | "offset"
  | "size"
  | "mode"
  | "mtime"
  | "mtimeNs"
  | "whiteout"
  | "link"
  | "chunk"
  | "order"
  | "modeTable"
  | "xattrs"
  | "xattrsEnd"
  | "linkPath"
  | "linkPathEnd"
  | "hardLinks"
  | "chunks";

/** The columns and tables, in the order of the file. */
export const COLUMNS: readonly ColumnName[] = [
  "path",
  "pathEnd",
  "dirPath",
  "dirPathEnd",
  "dirFirst",
  "offset",
  "size",
  "mode",
  "mtime",
  "mtimeNs",
  "whiteout",
  "link",
  "chunk",
  "order",
  "modeTable",
  "xattrs",
  "xattrsEnd",
  "linkPath",
  "linkPathEnd",
  "hardLinks",
  "chunks",
];

/** Bytes of a row in each table whose rows have one width, the tables that count entries aside. */
export const MODE_ROW = 24;
export const CHUNK_ROW = 32;
export const HARD_LINK_ROW = 8;

/** Bytes of the file that hold the content of one bin. */
export interface Span {
  readonly start: number;
  readonly length: number;
}

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

/** Where each bin lies in the file. */
export interface SidecarLayout extends SidecarHeader {
  readonly spans: Readonly<Record<ColumnName, Span>>;
  /** Columns of a later writer, skipped. */
  readonly unknown: readonly { readonly key: string; readonly span: Span }[];
  /** The bytes before this are covered by the block sums: the `sums` key begins here. */
  readonly covered: number;
}

/** Bytes of `sums` with its key and length; the file ends with them. */
export function sumsSpan(header: SidecarHeader, fileLength: number): { readonly covered: number; readonly content: Span } {
  const length = header.lengths.at(-1) ?? 0;
  const start = fileLength - length;
  const covered = start - encodeBinStart("sums", length).length;
  if (!(covered >= header.end) || length !== 8 * (Math.ceil(covered / BLOCK) + 1))
    throw new SidecarError(`read sidecar: sums of ${length} bytes do not fit a file of ${fileLength}`, header.end);
  return { covered, content: { start, length } };
}

/** Finds every bin, and checks that they fill the file and have a length that their rows explain. `read` gives verified bytes. */
export function layOut(header: SidecarHeader, covered: number, read: (start: number, length: number) => Buffer): SidecarLayout {
  let at = header.end;
  const take = (keyLength: number, length: number): Span => {
    const span = { start: at + keyLength + 6, length };
    at = span.start + length;
    if (!(at <= covered)) throw new SidecarError("read sidecar: the columns are longer than the file", span.start);
    return span;
  };
  const spans = Object.fromEntries(COLUMNS.map((name, row) => [name, take(name.length, header.lengths[row] ?? 0)]));
  const unknown: { key: string; span: Span }[] = [];
  for (const length of header.lengths.slice(COLUMNS.length, -1)) {
    const key = readKey(at, covered, read);
    if (key in spans || key === "sums" || unknown.some((other) => other.key === key))
      throw new SidecarError(`read sidecar: the key ${key} stands twice`, at);
    const start = encodeBinStart(key, length > MAX_LENGTH ? 0 : length);
    if (!read(at, Math.min(start.length, covered - at)).equals(start)) throw new SidecarError("read sidecar: a column is not a bin", at);
    unknown.push({ key, span: take(key.length, length) });
  }
  if (at !== covered) throw new SidecarError("read sidecar: the columns do not fill the file", at);
  const layout = { ...header, covered, spans: spans as Record<ColumnName, Span>, unknown };
  checkLengths(layout);
  return layout;
}

function readKey(at: number, covered: number, read: (start: number, length: number) => Buffer): string {
  const bytes = read(at, Math.min(32, covered - at));
  const length = (bytes[0] ?? 0) ^ 0xa0;
  const key = bytes.toString("latin1", 1, 1 + length);
  if (length > 31 || !/^[A-Za-z0-9_.-]+$/.test(key) || key.length !== length) throw new SidecarError("read sidecar: not a key", at);
  return key;
}

function checkLengths({ spans, count, indexed }: SidecarLayout): void {
  const rows = spans.dirPathEnd.length / 4;
  const check = (name: ColumnName, ok: boolean): void => {
    if (!ok) throw new SidecarError(`read sidecar: ${name} has ${spans[name].length} bytes for ${count} entries`, spans[name].start);
  };
  for (const [name, width] of ENTRY_WIDTHS) check(name, spans[name].length === count * width);
  for (const [name, width] of ROW_WIDTHS) check(name, spans[name].length % width === 0);
  const wide = spans.modeTable.length / MODE_ROW > 65_536;
  check("mode", spans.mode.length === count * (wide ? 4 : 2));
  check("order", spans.order.length <= count * 4);
  check("hardLinks", spans.hardLinks.length <= count * HARD_LINK_ROW);
  check("dirFirst", spans.dirFirst.length === (indexed ? (rows + 1) * 4 : 0));
  check("dirPathEnd", rows < count && (indexed || rows === 0));
  check("dirPath", indexed || spans.dirPath.length === 0);
}

const ENTRY_WIDTHS: readonly (readonly [ColumnName, number])[] = [
  ["pathEnd", 4],
  ["offset", 6],
  ["size", 6],
  ["mtime", 8],
  ["mtimeNs", 4],
  ["whiteout", 1],
  ["link", 4],
  ["chunk", 4],
];

const ROW_WIDTHS: readonly (readonly [ColumnName, number])[] = [
  ["dirPathEnd", 4],
  ["order", 4],
  ["modeTable", MODE_ROW],
  ["xattrsEnd", 4],
  ["linkPathEnd", 4],
  ["hardLinks", HARD_LINK_ROW],
  ["chunks", CHUNK_ROW],
];
