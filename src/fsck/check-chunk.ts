/** Checks that a link source has the content and attributes that its name stands for. */
import { closeSync, constants, fstatSync, lstatSync, openSync, type BigIntStats } from "node:fs";
import type { ChunkId } from "../../format/index.ts";
import { hashOpenFile } from "../system/hash-open-file.ts";
import { fsPath, showBytes, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { S_IFMT, S_IFREG, type PhysicalAttributes } from "../store/profile.ts";
import { getPathXattr, listPathXattrs } from "../system/syscalls.ts";
import type { LayerInodes } from "../tree/layer-inodes.ts";
import type { FindingKind } from "./finding.ts";

/** The required state of an inode. */
export interface ExpectedInode {
  readonly chunk: Buffer & ChunkId;
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly attributes: PhysicalAttributes;
}

export interface ChunkFault {
  readonly kind: Extract<FindingKind, `chunk-${string}`>;
  readonly expected: string;
  readonly found: string;
  /** Number of other names of the inode. The fault was probably made through one of them. */
  readonly links: number;
}

/** Attributes that the kernel sets by itself on labelled file systems. */
const SYSTEM_XATTRS: ReadonlySet<string> = new Set(["security.selinux", "security.ima", "security.evm", "security.SMACK64"]);

export function expectedInode(inodes: LayerInodes, entry: number): ExpectedInode {
  const { sidecar } = inodes;
  return {
    chunk: sidecar.chunkId(sidecar.chunk(entry)),
    size: sidecar.size(entry),
    mtime: BigInt(sidecar.mtime(entry)) * 1_000_000_000n + BigInt(sidecar.mtimeNs(entry)),
    attributes: inodes.attributes(entry),
  };
}

/** Returns every fault. With `deep` it also reads the xattrs and the content. */
export function checkChunk(path: ByteString, expected: ExpectedInode, deep: boolean): ChunkFault[] {
  const stat = lstatSync(fsPath(path), { bigint: true, throwIfNoEntry: false });
  if (!stat) return [{ kind: "chunk-missing", expected: "a link source", found: "missing", links: 0 }];
  if ((Number(stat.mode) & S_IFMT) !== S_IFREG) return [fault(stat, "chunk-type", "a regular file", octal(stat.mode))];
  const faults = attributeFaults(stat, expected);
  if (!deep) return faults;
  faults.push(...xattrFaults(path, stat, expected.attributes));
  if (Number(stat.size) !== expected.size) return faults;
  const found = hashFile(path, expected.size);
  if (found === undefined || !found.equals(expected.chunk)) {
    faults.push(
      fault(stat, "chunk-content", `sha256:${expected.chunk.toString("hex")}`, found ? `sha256:${found.toString("hex")}` : "unreadable"),
    );
  }
  return faults;
}

function attributeFaults(stat: BigIntStats, { size, mtime, attributes }: ExpectedInode): ChunkFault[] {
  const faults: ChunkFault[] = [];
  const [owner, found] = [`${attributes.uid}:${attributes.gid}`, `${stat.uid}:${stat.gid}`];
  if (Number(stat.size) !== size) faults.push(fault(stat, "chunk-size", String(size), String(stat.size)));
  if (Number(stat.mode) !== attributes.mode) faults.push(fault(stat, "chunk-mode", octal(attributes.mode), octal(stat.mode)));
  if (owner !== found) faults.push(fault(stat, "chunk-owner", owner, found));
  if (stat.mtimeNs !== mtime) faults.push(fault(stat, "chunk-mtime", String(mtime), String(stat.mtimeNs)));
  return faults;
}

function xattrFaults(path: ByteString, stat: BigIntStats, { xattrs }: PhysicalAttributes): ChunkFault[] {
  const faults: ChunkFault[] = [];
  const names = new Set<string>(xattrs.map(({ name }) => name));
  for (const name of listPathXattrs(path)) {
    if (!names.has(name) && !SYSTEM_XATTRS.has(name)) faults.push(fault(stat, "chunk-xattr", `no ${showBytes(name)}`, showBytes(name)));
  }
  for (const { name, value } of xattrs) {
    const found = getPathXattr(path, name);
    if (found === value) continue;
    faults.push(
      fault(stat, "chunk-xattr", `${showBytes(name)}=${showBytes(value, 200)}`, found === undefined ? "missing" : showBytes(found, 200)),
    );
  }
  return faults;
}

const READ_BYTES = 1024 * 1024;

/** Returns the SHA-256 of a regular file of this size; undefined if it is another kind or size of file, or cannot be read. */
export function hashFile(path: ByteString, size: number): Buffer | undefined {
  let fd: number;
  try {
    fd = openSync(fsPath(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENXIO", "EACCES")) return undefined;
    throw error;
  }
  try {
    const stat = fstatSync(fd);
    return stat.isFile() && stat.size === size ? hashOpenFile(fd, Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(size, 1)))) : undefined;
  } catch (error) {
    // a bad sector is damage to this chunk, not a failure of the check
    if (isErrno(error, "EIO")) return undefined;
    throw error;
  } finally {
    closeSync(fd);
  }
}

function fault(stat: BigIntStats, kind: ChunkFault["kind"], expected: string, found: string): ChunkFault {
  return { kind, expected, found, links: Number(stat.nlink) - 1 };
}

function octal(mode: number | bigint): string {
  return `0${mode.toString(8)}`;
}
