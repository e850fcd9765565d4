/** Builds tar headers field by field, valid or not: nothing is checked, nothing is made fit. For hostile archives. */

/** A number is written as octal; text as latin1; both NUL-padded on the right, and cut, to the field's width. */
export type RawField = string | Buffer | number;

export interface RawFields {
  readonly name?: RawField;
  readonly mode?: RawField;
  readonly uid?: RawField;
  readonly gid?: RawField;
  readonly size?: RawField;
  readonly mtime?: RawField;
  /** "unsigned" (the default) and "signed" stand for the right one. */
  readonly checksum?: RawField;
  readonly typeflag?: string;
  readonly linkName?: RawField;
  /** Magic and version, eight bytes; default USTAR. */
  readonly magic?: string;
  readonly devMajor?: RawField;
  readonly devMinor?: RawField;
  readonly prefix?: RawField;
  /** Bytes by offset, written over everything but the checksum. */
  readonly patches?: Readonly<Record<number, string | Buffer>>;
}

export const USTAR: string = "ustar\x0000";
export const GNU = "ustar  \0";
export const V7 = "\0\0\0\0\0\0\0\0";

const FIELDS = [
  ["name", 0, 100],
  ["mode", 100, 8],
  ["uid", 108, 8],
  ["gid", 116, 8],
  ["size", 124, 12],
  ["mtime", 136, 12],
  ["typeflag", 156, 1],
  ["linkName", 157, 100],
  ["magic", 257, 8],
  ["devMajor", 329, 8],
  ["devMinor", 337, 8],
  ["prefix", 345, 155],
] as const;

const DEFAULTS: RawFields = { name: "file", mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0, typeflag: "0", magic: USTAR };

/** One header block. */
export function rawHeader(fields: RawFields = {}): Buffer {
  const block = Buffer.alloc(512);
  const all: RawFields = { ...DEFAULTS, ...fields };
  for (const [key, offset, width] of FIELDS) {
    const value = all[key];
    if (value !== undefined) fieldBytes(value, width).copy(block, offset, 0, width);
  }
  for (const [offset, bytes] of Object.entries(all.patches ?? {})) fieldBytes(bytes, 512).copy(block, Number(offset));
  checksumBytes(block, all.checksum ?? "unsigned").copy(block, 148, 0, 8);
  return block;
}

/** A header and its data, padded; the size field is that of the data unless given. */
export function rawEntry(fields: RawFields = {}, data: string | Buffer = ""): Buffer {
  const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
  return Buffer.concat([rawHeader({ size: bytes.length, ...fields }), padded(bytes)]);
}

/** A PAX extended header with these records. */
export function paxHeader(records: readonly (readonly [key: string, value: string | Buffer])[], fields: RawFields = {}): Buffer {
  const data = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  return rawEntry({ name: "PaxHeaders/file", typeflag: "x", ...fields }, data);
}

/** `<length> <key>=<value>\n`, the length counting itself. */
export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), toBuffer(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** GNU's long name (L) or long link (K). */
export function longText(typeflag: "L" | "K", text: string | Buffer): Buffer {
  const data = Buffer.concat([toBuffer(text), Buffer.alloc(1)]);
  return rawEntry({ name: "././@LongLink", typeflag, magic: GNU }, data);
}

/** Two's complement, big-endian, marked by the first bit. */
export function base256(value: bigint, width: number): Buffer {
  const bytes = Buffer.alloc(width);
  let rest = BigInt.asUintN(width * 8, value);
  for (let i = width - 1; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  bytes[0]! |= 0x80;
  return bytes;
}

export function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

/** The end of an archive. */
export const END: Buffer = Buffer.alloc(1024);

function fieldBytes(value: RawField, width: number): Buffer {
  return typeof value === "number" ? Buffer.from(`${value.toString(8).padStart(width - 1, "0")}\0`) : toBuffer(value);
}

function toBuffer(value: string | Buffer): Buffer {
  return typeof value === "string" ? Buffer.from(value, "latin1") : value;
}

function checksumBytes(block: Buffer, checksum: RawField): Buffer {
  if (checksum !== "unsigned" && checksum !== "signed") return fieldBytes(checksum, 8);
  let sum = 8 * 0x20;
  block.forEach((byte, i) => {
    if (i < 148 || i >= 156) sum += checksum === "signed" && byte >= 0x80 ? byte - 256 : byte;
  });
  return Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `);
}
