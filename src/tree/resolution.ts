/**
 * Resolutions: what a layer's tree takes from the image around it. Layer, profile and resolution determine the tree id. Most images use the
 * tree of the empty resolution. The encoding is normative in format/store.md, "Trees".
 */
import { hash } from "node:crypto";
import type { ByteString } from "../bytes.ts";
import { digestHex, type DiffId } from "../image/digest.ts";
import { treeIdOf, type TreeId } from "../store/ids.ts";
import type { Xattr } from "../../format/entry.ts";
import type { Profile } from "../store/profile.ts";

/** A directory that the layer implies, with the attributes of a lower layer. */
export interface ResolvedDirectory {
  readonly path: ByteString;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly xattrs: readonly Xattr[];
}

/** A file with another ordinal of its inode than within the layer alone. */
export interface ResolvedFile {
  readonly path: ByteString;
  readonly ordinal: number;
}

/** Both lists are in the file order of the sidecar. */
export interface Resolution {
  readonly directories: readonly ResolvedDirectory[];
  readonly files: readonly ResolvedFile[];
}

export const EMPTY_RESOLUTION: Resolution = { directories: [], files: [] };

export function treeId(diffId: DiffId, profile: Profile, resolution: Resolution): TreeId {
  const parts: Buffer[] = [text("shale tree 1"), Buffer.from(digestHex(diffId), "hex"), text(profile)];
  for (const { path, mode, uid, gid, xattrs } of resolution.directories) {
    parts.push(text("d"), text(path), u32s(mode, uid, gid, xattrs.length));
    for (const { name, value } of xattrs) parts.push(text(name), text(value));
  }
  for (const { path, ordinal } of resolution.files) parts.push(text("f"), text(path), u32s(ordinal));
  return treeIdOf(hash("sha256", Buffer.concat(parts), "buffer"));
}

/** Length as u32, then the bytes. */
function text(value: string): Buffer {
  return Buffer.concat([u32s(value.length), Buffer.from(value, "latin1")]);
}

function u32s(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => bytes.writeUInt32LE(value, index * 4));
  return bytes;
}
