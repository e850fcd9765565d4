/**
 * Xattrs of a PAX header: `SCHILY.xattr.<name>` with the value as it is (star, GNU tar, Go), and libarchive's
 * `LIBARCHIVE.xattr.<URL-encoded name>` with the value in base64. bsdtar writes both; the first form wins. An empty
 * value is a value here: containerd sets it, GNU tar writes it.
 */
import { type ByteString, fromBytes } from "../bytes.ts";
import type { Xattr } from "../../format/entry.ts";
import type { XattrRecord } from "./pax.ts";

const NONE: readonly Xattr[] = [];

/** What an xattr takes beside its name and value: a count of them is bounded as well (ext4: 16). */
const XATTR_OVERHEAD = 16;

/** Linux: XATTR_NAME_MAX and XATTR_SIZE_MAX; and the latter in base64. */
const MAX_NAME = 255;
const MAX_VALUE = 65_536;
const MAX_ENCODED = 87_384;

/** Bytes of names and values as recorded, and the overhead of each. */
export function xattrBytes(records: readonly XattrRecord[]): number {
  return records.reduce((sum, { name, value }) => sum + (name.to - name.from) + (value.to - value.from) + XATTR_OVERHEAD, 0);
}

/** What is wrong with the records, or undefined: then `decodeXattrs` succeeds. */
export function checkXattrs(buffer: Buffer, records: readonly XattrRecord[]): string | undefined {
  for (const { encoded, name, value } of records) {
    if (name.from === name.to) return "an xattr has no name";
    if (name.to - name.from > MAX_NAME || value.to - value.from > (encoded ? MAX_ENCODED : MAX_VALUE)) {
      return "an xattr has a name of more than 255 or a value of more than 65536 bytes, which Linux does not take";
    }
    if (encoded && decodeName(buffer, name.from, name.to).includes("\0")) return "the name of an xattr contains a NUL";
    if (encoded && !isBase64(buffer, value.from, value.to)) return "the value of a LIBARCHIVE.xattr is not base64";
  }
  return undefined;
}

/** Sorted by the bytes of the name, no name twice. */
export function decodeXattrs(buffer: Buffer, records: readonly XattrRecord[]): readonly Xattr[] {
  if (records.length === 0) return NONE;
  const values = new Map<ByteString, ByteString>();
  for (const record of records) if (record.encoded) addXattr(buffer, record, values);
  for (const record of records) if (!record.encoded) addXattr(buffer, record, values);
  const xattrs = Array.from(values, ([name, value]) => ({ name, value }));
  return xattrs.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function addXattr(buffer: Buffer, { encoded, name, value }: XattrRecord, values: Map<ByteString, ByteString>): void {
  if (encoded) {
    const bytes = Buffer.from(buffer.toString("latin1", value.from, value.to), "base64");
    values.set(decodeName(buffer, name.from, name.to), fromBytes(bytes));
  } else {
    values.set(buffer.toString("latin1", name.from, name.to) as ByteString, buffer.toString("latin1", value.from, value.to) as ByteString);
  }
}

/** As libarchive: a `%` that two hex digits do not follow stands for itself. */
function decodeName(buffer: Buffer, from: number, to: number): ByteString {
  const bytes = Buffer.allocUnsafe(to - from);
  let length = 0;
  for (let at = from; at < to; at++) {
    const high = buffer[at] === 0x25 && at + 2 < to ? hexDigit(buffer[at + 1]!) : -1;
    const low = high >= 0 ? hexDigit(buffer[at + 2]!) : -1;
    bytes[length++] = low >= 0 ? high * 16 + low : buffer[at]!;
    if (low >= 0) at += 2;
  }
  return fromBytes(bytes.subarray(0, length));
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** The standard alphabet, with padding or without it. */
function isBase64(buffer: Buffer, from: number, to: number): boolean {
  let end = to;
  while (end > from && to - end < 2 && buffer[end - 1] === 0x3d) end--;
  for (let at = from; at < end; at++) if (!isBase64Digit(buffer[at]!)) return false;
  return (end - from) % 4 !== 1 && (end === to || (to - from) % 4 === 0);
}

function isBase64Digit(byte: number): boolean {
  const letter = byte | 0x20;
  return (letter >= 0x61 && letter <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2b || byte === 0x2f;
}
