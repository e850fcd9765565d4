import { closeSync, renameSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { openIfExists } from "../system/existing-file.ts";
import { renameIfAbsent } from "../system/rename-if-absent.ts";
import { tryFlock } from "../system/syscalls.ts";

/** For as long as somebody needs to look and rename, many times over: a worker that was ended in between may have left its file open. */
const PATIENCE_MS = 1000;
const PAUSE_MS = 1;

/**
 * Gives `staged`, a whole file, the name of a link source that is wrong: after a power cut workers and processes find the same ones wrong at
 * the same time, and a tree that has the file of one must not lose its source to the other. So whoever replaces a file holds a lock on it
 * (flock), and who had to wait looks again. False when what has the name is good by then; `staged` is still there.
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

/** Undefined: nothing is there, or what cannot be opened, which is replaced without a lock. */
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
