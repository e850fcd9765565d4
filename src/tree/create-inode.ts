/** Creates names that are not linked from chunks/: empty files, symlinks, devices, and the files that represent these in a profile. */
import { closeSync, linkSync, openSync, symlinkSync, writeSync } from "node:fs";
import { fsPath, toBytes, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { applyToFile, applyToPath } from "../store/attributes.ts";
import { S_IFLNK, S_IFMT, S_IFREG, type Owner } from "../store/profile.ts";
import { mknod } from "../system/syscalls.ts";
import type { TreePlan } from "./tree-plan.ts";

export interface NewInode {
  readonly plan: TreePlan;
  readonly entry: number;
  readonly path: ByteString;
  /** The owner of this process. */
  readonly self: Owner;
}

/** Creates a file that only this tree has: an empty one, or the representation of another kind of file in this profile. */
export function createRegular({ plan, entry, path, self }: NewInode): void {
  const fd = openSync(fsPath(path), "wx", 0o600);
  try {
    const content = plan.sidecar.target(entry);
    if (content !== "") writeSync(fd, toBytes(content as ByteString));
    applyToFile(fd, plan.attributes(entry), plan.time(entry), { self, mode: 0o600 });
  } finally {
    closeSync(fd);
  }
}

/** Creates a symlink, device or FIFO, or its representation. */
export function createSpecial(node: NewInode): void {
  const { plan, entry, path, self } = node;
  const attributes = plan.attributes(entry);
  const type = attributes.mode & S_IFMT;
  if (type === S_IFREG) return createRegular(node);
  if (type === S_IFLNK) symlinkSync(toBytes(plan.sidecar.target(entry) as ByteString), fsPath(path));
  else {
    const { rdevMajor, rdevMinor } = plan.sidecar.modeAt(plan.sidecar.modeRow(entry));
    mknod(path, attributes.mode, { major: rdevMajor, minor: rdevMinor });
  }
  applyToPath(path, attributes, plan.time(entry), self);
}

/** Links another name to a file. False if the inode has the maximum number of links. */
export function tryLink(from: ByteString, to: ByteString): boolean {
  try {
    linkSync(fsPath(from), fsPath(to));
    return true;
  } catch (error) {
    if (isErrno(error, "EMLINK")) return false;
    throw error;
  }
}
