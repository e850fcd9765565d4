import { isErrno } from "../errors.ts";

const { readdirSync } = process.getBuiltinModule("node:fs");

/** Names of a directory; none when it is not there. */
export function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
