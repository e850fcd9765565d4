/**
 * The names that a store gives to its own objects, told apart by the compiler as digests are. A diff ID and a blob digest come from an
 * image: see image/digest.ts. The only casts are in the functions here.
 */
import type { ChunkId } from "../../format/index.ts";

declare const brand: unique symbol;

/** Names a tree: 26 characters of base32. See format/store.md, "Trees". */
export type TreeId = string & { readonly [brand]: "TreeId" };
/** Names an inode: 20 bytes. Hard links to one inode share content and physical attributes. See format/store.md, "Chunks and inodes". */
export type InodeId = Uint8Array & { readonly [brand]: "InodeId" };
/** An inode id as text: 32 characters of base32. */
export type InodeName = string & { readonly [brand]: "InodeName" };

export const INODE_ID_BYTES = 20;

const TREE_ID: RegExp = /^[a-z2-7]{26}$/;
const INODE_NAME: RegExp = /^[a-z2-7]{32}$/;

/** Undefined unless the text is a tree id. */
export function parseTreeId(text: string): TreeId | undefined {
  return TREE_ID.test(text) ? (text as TreeId) : undefined;
}

/** The tree id that the SHA-256 of a tree's description gives. */
export function treeIdOf(digest: Uint8Array): TreeId {
  return base32(digest).slice(0, 26) as TreeId;
}

/** Undefined unless the text is an inode id. */
export function parseInodeName(text: string): InodeName | undefined {
  return INODE_NAME.test(text) ? (text as InodeName) : undefined;
}

/** The 20 bytes at `at`, not copied. @throws RangeError if the bytes end before */
export function inodeIdAt(bytes: Buffer, at: number): Buffer & InodeId;
export function inodeIdAt(bytes: Uint8Array, at: number): InodeId;
export function inodeIdAt(bytes: Uint8Array, at: number): InodeId {
  if (at + INODE_ID_BYTES > bytes.length) throw new RangeError(`no inode id at byte ${at} of ${bytes.length}`);
  return bytes.subarray(at, at + INODE_ID_BYTES) as InodeId;
}

export function inodeNameOf(id: InodeId): InodeName {
  return base32(id) as InodeName;
}

export function inodeIdOf(name: InodeName): InodeId {
  return parseBase32(name) as Uint8Array as InodeId;
}

/** The SHA-256 of a file's content, as 32 bytes. @throws RangeError for another length */
export function chunkId<T extends Uint8Array>(digest: T): T & ChunkId {
  if (digest.length !== 32) throw new RangeError(`a chunk id has 32 bytes, not ${digest.length}`);
  return digest as T & ChunkId;
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
function parseBase32(text: string): Buffer {
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
