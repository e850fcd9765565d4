/** Writes small files that must survive a power cut. */
import { basename, dirname, join } from "node:path";
import { isErrno } from "../errors.ts";

const { closeSync, constants, fsyncSync, openSync, renameSync, unlinkSync, writeSync } = process.getBuiltinModule("node:fs");

/**
 * Replaces `path` atomically: temporary file in `staging` (same file system), write, fsync, rename, fsync of the directory.
 * A reader sees the old or the new content, also after a power cut. A failure leaves nothing behind.
 */
export function durableWrite(path: string, content: Uint8Array | string, staging: string): void {
  const { randomBytes } = process.getBuiltinModule("node:crypto");
  const temporary = join(staging, `${basename(path).slice(0, 80)}-${randomBytes(6).toString("hex")}`);
  try {
    writeSynced(temporary, typeof content === "string" ? Buffer.from(content) : content);
    renameSync(temporary, path);
  } catch (error) {
    removeIfThere(temporary);
    throw error;
  }
  syncDirectory(dirname(path));
}

/** Syncs the names in a directory to the disk. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writeSynced(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
