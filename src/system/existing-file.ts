/** Files that may be missing. A symlink in a store's place is never followed: it counts as missing. */
import { isErrno } from "../errors.ts";

const { closeSync, constants, openSync, readFileSync } = process.getBuiltinModule("node:fs");

/** Opens a file for reading without waiting for the writer of a FIFO. Returns undefined if it is missing or a symlink. */
export function openIfExists(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ELOOP", "ENXIO")) return undefined;
    throw error;
  }
}

/** Returns the whole file, or undefined if it is missing or a symlink. @throws an errno, EISDIR for a directory */
export function readIfExists(path: string): Buffer | undefined {
  const fd = openIfExists(path);
  if (fd === undefined) return undefined;
  try {
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
