import { isErrno } from "../errors.ts";

const { readdirSync } = process.getBuiltinModule("node:fs");

/** Returns the names in a directory, unsorted; none if it is missing or not a directory. */
export function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
