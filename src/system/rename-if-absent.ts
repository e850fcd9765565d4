import { dirname } from "node:path";
import { toByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { makeDirectory } from "./make-directory.ts";
import { renameUnlessThere } from "./syscalls.ts";

/** Renames; false if the new name exists, and nothing is moved. Creates the parent directory. */
export function renameIfAbsent(from: string, to: string): boolean {
  try {
    return renameUnlessThere(toByteString(from), toByteString(to));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    makeDirectory(dirname(to));
    return renameUnlessThere(toByteString(from), toByteString(to));
  }
}
