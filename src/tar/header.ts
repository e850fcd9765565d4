/** One 512-byte header block: its checksum, its format and its numbers (Go's archive/tar: readHeader, getFormat). */
import { parseNumeric, parseOctal } from "./number.ts";

/** Every header is one block; data are padded to whole blocks. */
export const BLOCK = 512;

/** Whole blocks that hold `bytes`, in bytes; exact beyond 2^32, where bit operations are not. */
export function paddedLength(bytes: number): number {
  return Math.ceil(bytes / BLOCK) * BLOCK;
}

/** V7 has neither device numbers nor prefix; star's prefix is shorter; GNU has times and a sparse map where USTAR has its prefix. */
type HeaderFormat = "v7" | "ustar" | "star" | "gnu";

/** The fields of a block: numbers as they stand there, any of which may be out of range; texts as offsets of their bytes. */
export interface Header {
  at: number;
  format: HeaderFormat;
  typeflag: number;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  mtime: number;
  devMajor: number;
  devMinor: number;
  nameEnd: number;
  /** Offset of the prefix's end; equal to `at` + PREFIX when there is none. */
  prefixEnd: number;
}

/** Where the text fields begin in the block. */
const NAME = 0;
export const LINK_NAME = 157;
export const PREFIX = 345;

export function newHeader(): Header {
  return {
    at: 0,
    format: "v7",
    typeflag: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 0,
    devMajor: 0,
    devMinor: 0,
    nameEnd: 0,
    prefixEnd: 0,
  };
}

/** The unsigned sum of the block's bytes, its checksum field included; 0 means a block of zeros. */
export function sumBlock(buffer: Buffer, at: number): number {
  const view = new DataView(buffer.buffer, buffer.byteOffset + at, BLOCK);
  // four bytes at a time into two 16-bit lanes, which 2 * 128 bytes cannot overflow: half the time of a loop over bytes
  let lanes = 0;
  for (let i = 0; i < BLOCK; i += 4) {
    const word = view.getInt32(i, true);
    lanes = (lanes + (word & 0x00ff_00ff) + ((word >>> 8) & 0x00ff_00ff)) | 0;
  }
  return (lanes & 0xffff) + (lanes >>> 16);
}

/** Fills `header` from the block whose bytes add up to `sum`; says what is wrong with the block, or undefined. */
export function decodeHeader(buffer: Buffer, sum: number, header: Header): string | undefined {
  const at = header.at;
  if (!hasChecksum(buffer, at, sum)) return "its checksum is wrong, or it is no tar header at all";
  header.format = formatOf(buffer, at);
  header.typeflag = buffer[at + 156]!;
  header.mode = parseNumeric(buffer, at + 100, at + 108);
  header.uid = parseNumeric(buffer, at + 108, at + 116);
  header.gid = parseNumeric(buffer, at + 116, at + 124);
  header.size = parseNumeric(buffer, at + 124, at + 136);
  header.mtime = parseNumeric(buffer, at + 136, at + 148);
  header.nameEnd = textEnd(buffer, at + NAME, at + NAME + 100);
  header.prefixEnd = at + PREFIX;
  header.devMajor = 0;
  header.devMinor = 0;
  // one test for all five: NaN is contagious
  if (Number.isNaN(header.mode + header.uid + header.gid + header.size + header.mtime)) return "one of its numbers is malformed";
  // a rounded number has lost the bits that matter; they are the last of the two's complement
  if (!Number.isSafeInteger(header.mode)) header.mode = buffer.readUInt16BE(at + 106);
  return header.format === "v7" ? undefined : decodeExtension(buffer, header);
}

/** End of a text that a NUL, or else the end of its field, ends. */
export function textEnd(buffer: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to && buffer[at] !== 0) at++;
  return at;
}

function decodeExtension(buffer: Buffer, header: Header): string | undefined {
  const { at, format } = header;
  header.devMajor = parseNumeric(buffer, at + 329, at + 337);
  header.devMinor = parseNumeric(buffer, at + 337, at + 345);
  if (Number.isNaN(header.devMajor + header.devMinor)) return "its device number is malformed";
  if (format === "ustar") {
    header.prefixEnd = textEnd(buffer, at + PREFIX, at + PREFIX + 155);
  } else if (format === "star") {
    if (Number.isNaN(parseNumeric(buffer, at + 476, at + 488) + parseNumeric(buffer, at + 488, at + 500))) {
      return "one of its times is malformed";
    }
    header.prefixEnd = textEnd(buffer, at + PREFIX, at + PREFIX + 131);
  } else if (!hasTime(buffer, at + 345) || !hasTime(buffer, at + 357)) {
    header.prefixEnd = mistakenPrefixEnd(buffer, at + PREFIX);
  }
  return undefined;
}

function hasTime(buffer: Buffer, at: number): boolean {
  return buffer[at] === 0 || !Number.isNaN(parseNumeric(buffer, at, at + 12));
}

/** Go before 1.8 wrote a USTAR prefix into GNU headers; it counts if it is ASCII and no times can be read in its place. */
function mistakenPrefixEnd(buffer: Buffer, from: number): number {
  const end = textEnd(buffer, from, from + 155);
  for (let at = from; at < end; at++) if (buffer[at]! >= 0x80) return from;
  return end;
}

/** The checksum counts its own field as spaces. Sun's tar summed signed bytes. */
function hasChecksum(buffer: Buffer, at: number, sum: number): boolean {
  const claim = parseOctal(buffer, at + 148, at + 156);
  let unsigned = sum + 8 * 0x20;
  for (let i = at + 148; i < at + 156; i++) unsigned -= buffer[i]!;
  return claim === unsigned || claim === unsigned - 256 * countHighBytes(buffer, at);
}

function countHighBytes(buffer: Buffer, at: number): number {
  let count = 0;
  for (let i = 0; i < BLOCK; i++) if (buffer[at + i]! >= 0x80 && (i < 148 || i >= 156)) count++;
  return count;
}

function formatOf(buffer: Buffer, at: number): HeaderFormat {
  if (!hasText(buffer, at + 257, "ustar")) return "v7";
  if (hasText(buffer, at + 262, "\0")) return hasText(buffer, at + 508, "tar\0") ? "star" : "ustar";
  return hasText(buffer, at + 262, "  \0") ? "gnu" : "v7";
}

/** True when the bytes at `at` are the characters of `text`. */
export function hasText(buffer: Buffer, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (buffer[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
