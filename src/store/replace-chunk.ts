import { closeSync, renameSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { openIfExists } from "../system/existing-file.ts";
import { renameIfAbsent } from "../system/rename-if-absent.ts";
import { tryFlock } from "../system/syscalls.ts";

/** Longest wait in ms for the lock: many times what a check and a rename take. A worker that was terminated may have left its file open. */
const PATIENCE_MS = 1000;
const PAUSE_MS = 1;

/**
 * Replaces a damaged link source by `staged`, a complete file. It locks the damaged file (flock) and checks again after waiting: after a
 * power cut, several workers and processes find the same file damaged, and two concurrent repairs would leave a tree linked to a file that
 * the other repair has replaced. Returns false if the link source is intact by now; `staged` then still exists.
 */
export function replaceChunk(path: string, staged: string, isGood: () => boolean): boolean {
  const fd = openToLock(path);
  if (fd === undefined && renameIfAbsent(staged, path)) return true;
  try {
    if (fd !== undefined) awaitLock(fd);
    if (isGood()) return false;
    renameSync(staged, path);
    return true;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Returns undefined if the file is missing or cannot be opened; it is then replaced without a lock. */
function openToLock(path: string): number | undefined {
  try {
    return openIfExists(path);
  } catch (error) {
    if (isErrno(error, "EACCES")) return undefined;
    throw error;
  }
}

function awaitLock(fd: number): void {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let waited = 0; !tryFlock(fd, "exclusive") && waited < PATIENCE_MS; waited += PAUSE_MS) Atomics.wait(pause, 0, 0, PAUSE_MS);
}
