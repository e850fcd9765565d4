/**
 * Inode ids. Hard links share one inode, so the name of a link source covers the content and every physical attribute: the
 * first 160 bits of SHA-256 over the chunk id and a canonical encoding, in lower-case base32. Normative in format/store.md.
 */
import type { PhysicalAttributes } from "./profile.ts";

export const INODE_ID_BYTES = 20;

/** Physical attributes in canonical bytes; made once for all files that share them, then completed with the times. */
export function encodeAttributes(attributes: PhysicalAttributes): Buffer {
  const parts: Buffer[] = [u32s(attributes.mode, attributes.uid, attributes.gid, attributes.xattrs.length)];
  for (const { name, value } of attributes.xattrs) parts.push(u32s(name.length, value.length), Buffer.from(name + value, "latin1"));
  return Buffer.concat(parts);
}

/** What is hashed: memory anew for each of a hundred thousand files costs more than the hash. */
const canonical: Buffer = Buffer.alloc(4096);

/** `chunk` is the 32 bytes of SHA-256 of the content. Returns 20 bytes. */
export function inodeId(chunk: Uint8Array, mtime: { seconds: number; nanoseconds: number }, attributes: Buffer): Buffer {
  const length = 44 + attributes.length;
  const bytes = length <= canonical.length ? canonical : Buffer.allocUnsafe(length);
  bytes.set(chunk, 0);
  bytes.writeInt32LE(mtime.seconds | 0, 32);
  bytes.writeInt32LE(Math.floor(mtime.seconds / 2 ** 32), 36);
  bytes.writeUInt32LE(mtime.nanoseconds, 40);
  bytes.set(attributes, 44);
  // as text first: a buffer for the whole digest costs more than the hash
  const digest = process.getBuiltinModule("node:crypto").hash("sha256", bytes.subarray(0, length), "hex");
  return Buffer.from(digest.slice(0, 2 * INODE_ID_BYTES), "hex");
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const LETTERS: Buffer = Buffer.from(ALPHABET);

/** RFC 4648 base32 in lower case, without padding; a last group of fewer than 5 bits is filled with zeros. */
export function base32(bytes: Uint8Array): string {
  const text = Buffer.allocUnsafe(Math.ceil((bytes.length * 8) / 5));
  let at = 0;
  let bits = 0;
  let count = 0;
  for (const byte of bytes) {
    bits = (bits << 8) | byte;
    for (count += 8; count >= 5; count -= 5) text[at++] = LETTERS[(bits >>> (count - 5)) & 31]!;
    bits &= 0xff;
  }
  if (count > 0) text[at] = LETTERS[(bits << (5 - count)) & 31]!;
  return text.toString("latin1");
}

/** The bytes behind whole groups of lower-case base32; the caller has checked the alphabet. */
export function parseBase32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let count = 0;
  for (const letter of text) {
    bits = ((bits << 5) | ALPHABET.indexOf(letter)) & 0xfff;
    count += 5;
    if (count < 8) continue;
    bytes.push((bits >>> (count - 8)) & 0xff);
    count -= 8;
  }
  return Buffer.from(bytes);
}

function u32s(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32LE(value, index * 4));
  return bytes;
}
