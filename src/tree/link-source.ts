/** The inode that a file of a tree is linked to, and the checks before each link: a write through one tree must not spread to others. */
import { lstatSync, type BigIntStats } from "node:fs";
import type { ChunkId } from "../../format/index.ts";
import type { InodeId } from "../store/ids.ts";
import { hashOpenFile } from "../system/hash-open-file.ts";
import { S_IFMT, S_IFREG, type PhysicalAttributes } from "../store/profile.ts";

export interface LinkSource {
  readonly inode: InodeId;
  readonly ordinal: number;
  /** Bytes. */
  readonly size: number;
  readonly attributes: PhysicalAttributes;
  readonly mtime: number;
  readonly mtimeNs: number;
  /** The layer vouches for the content of its native inode if that was created before this time, ms since 1970. */
  readonly vouchedBefore: number;
  /** The layer's native inode of the same content; computed on demand. */
  readonly native: () => InodeId;
  /** Called only if the inode looks wrong. */
  readonly chunk: () => ChunkId;
}

/** The range of times that ext4 stores, until 2446. It clamps other times. */
const FIRST_SECOND: number = -(2 ** 31);
const LAST_SECOND: number = 2 ** 34 - 2 ** 31 - 1;

/** Compares type, size, mode, owner and time with the sidecar, by one lstat. Undefined if they differ or the file is missing. */
export function statUntouched(path: string, source: LinkSource): BigIntStats | undefined {
  const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined || !looksRight(stat, source)) return undefined;
  const { attributes } = source;
  const same = Number(stat.mode) === attributes.mode && Number(stat.uid) === attributes.uid && Number(stat.gid) === attributes.gid;
  return same ? stat : undefined;
}

/** Compares only type, size and time, which the inodes of all profiles have in common. */
export function looksRight(stat: BigIntStats, { size, mtime, mtimeNs }: LinkSource): boolean {
  if ((Number(stat.mode) & S_IFMT) !== S_IFREG || Number(stat.size) !== size) return false;
  if (mtime < FIRST_SECOND || mtime > LAST_SECOND) return true;
  return stat.mtimeNs === BigInt(mtime) * 1_000_000_000n + BigInt(mtimeNs);
}

/** Hashes an open file from its start and compares the result with the chunk id. */
export function hasContent(fd: number, chunk: Uint8Array): boolean {
  return hashOpenFile(fd, Buffer.allocUnsafe(256 * 1024)).equals(chunk);
}
