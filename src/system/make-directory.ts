/** Creates directories that other processes may create concurrently. */
import { mkdirSync } from "node:fs";
import { isErrno } from "../errors.ts";

/**
 * Creates a directory and its parents with mode 0700, unless it exists. Node's recursive mkdir would report ENOENT for a failing disk.
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
