/** Makes names that are not linked from chunks/: empty files, symlinks, devices, and files that stand for these in a profile. */
import { closeSync, linkSync, openSync, symlinkSync, writeSync } from "node:fs";
import { fsPath, toBytes, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { applyToFile, applyToPath } from "../store/attributes.ts";
import { S_IFLNK, S_IFMT, S_IFREG, type Owner } from "../store/profile.ts";
import { mknod } from "../system/syscalls.ts";
import type { TreePlan } from "./tree-plan.ts";

export interface NewNode {
  readonly plan: TreePlan;
  readonly entry: number;
  readonly path: ByteString;
  /** Who makes it. */
  readonly self: Owner;
}

/** A fresh file of this tree alone: an empty one, or what stands for another kind of file in this profile. */
export function makeRegular({ plan, entry, path, self }: NewNode): void {
  const fd = openSync(fsPath(path), "wx", 0o600);
  try {
    const content = plan.sidecar.target(entry);
    if (content !== "") writeSync(fd, toBytes(content as ByteString));
    applyToFile(fd, plan.attributes(entry), plan.time(entry), { self, mode: 0o600 });
  } finally {
    closeSync(fd);
  }
}

/** A symlink, device or FIFO, or what stands for it. */
export function makeSpecial(node: NewNode): void {
  const { plan, entry, path, self } = node;
  const attributes = plan.attributes(entry);
  const type = attributes.mode & S_IFMT;
  if (type === S_IFREG) return makeRegular(node);
  if (type === S_IFLNK) symlinkSync(toBytes(plan.sidecar.target(entry) as ByteString), fsPath(path));
  else {
    const { rdevMajor, rdevMinor } = plan.sidecar.modeAt(plan.sidecar.modeRow(entry));
    mknod(path, attributes.mode, { major: rdevMajor, minor: rdevMinor });
  }
  applyToPath(path, attributes, plan.time(entry), self);
}

/** A further name for a file; false when it has as many as the file system gives one inode. */
export function tryLink(from: ByteString, to: ByteString): boolean {
  try {
    linkSync(fsPath(from), fsPath(to));
    return true;
  } catch (error) {
    if (isErrno(error, "EMLINK")) return false;
    throw error;
  }
}
