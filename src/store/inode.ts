/**
 * Computes inode ids. Hard links share one inode, so the id covers the content and every physical attribute: it is the first 160 bits of
 * the SHA-256 of the chunk id and the encoded attributes. See format/store.md, "Chunks and inodes".
 */
import type { ChunkId } from "../../format/index.ts";
import { INODE_ID_BYTES, inodeIdAt, type InodeId } from "./ids.ts";
import type { PhysicalAttributes } from "./profile.ts";

/** Encodes physical attributes for inodeId(). Encode once for all files that share them. */
export function encodeAttributes(attributes: PhysicalAttributes): Buffer {
  const parts: Buffer[] = [u32s(attributes.mode, attributes.uid, attributes.gid, attributes.xattrs.length)];
  for (const { name, value } of attributes.xattrs) parts.push(u32s(name.length, value.length), Buffer.from(name + value, "latin1"));
  return Buffer.concat(parts);
}

/** A reused buffer for the hashed bytes: allocating one per file would cost more than the hash. */
const canonical: Buffer = Buffer.alloc(4096);

/** `attributes`: as encodeAttributes() returns them. */
export function inodeId(chunk: ChunkId, mtime: { seconds: number; nanoseconds: number }, attributes: Buffer): Buffer & InodeId {
  const length = 44 + attributes.length;
  const bytes = length <= canonical.length ? canonical : Buffer.allocUnsafe(length);
  bytes.set(chunk, 0);
  bytes.writeInt32LE(mtime.seconds | 0, 32);
  bytes.writeInt32LE(Math.floor(mtime.seconds / 2 ** 32), 36);
  bytes.writeUInt32LE(mtime.nanoseconds, 40);
  bytes.set(attributes, 44);
  // via hex: creating a Buffer of the whole digest costs more than the hash
  const digest = process.getBuiltinModule("node:crypto").hash("sha256", bytes.subarray(0, length), "hex");
  return inodeIdAt(Buffer.from(digest.slice(0, 2 * INODE_ID_BYTES), "hex"), 0);
}

function u32s(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32LE(value, index * 4));
  return bytes;
}
