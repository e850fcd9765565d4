import { dirname } from "node:path";
import { toByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";
import { makeDirectory } from "./make-directory.ts";
import { renameUnlessThere } from "./syscalls.ts";

/** False when something has the name already: nothing is moved then. Makes the directory that it belongs in. */
export function renameIfAbsent(from: string, to: string): boolean {
  try {
    return renameUnlessThere(toByteString(from), toByteString(to));
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    makeDirectory(dirname(to));
    return renameUnlessThere(toByteString(from), toByteString(to));
  }
}
