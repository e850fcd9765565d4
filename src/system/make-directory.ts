/** Directories that others may make at the same time. */
import { mkdirSync } from "node:fs";
import { isErrno } from "../errors.ts";

/**
 * Makes a directory, mode 0700, and those above it, unless it is there. Node's recursive mkdir alone would tell of a failing disk that
 * the directory is not there (ENOENT).
 */
export function makeDirectory(path: string | Buffer): void {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    if (!isErrno(error, "ENOENT")) throw error;
    mkdirSync(path, { mode: 0o700, recursive: true });
  }
}
