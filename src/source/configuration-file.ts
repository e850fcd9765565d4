/** Reads the user's configuration files, with a size limit. Errors name the path and never quote the content. */
import { readFile } from "node:fs/promises";
import { isErrno, messageOf, ShaleError } from "../errors.ts";

const MAX_BYTES = 4 * 1024 * 1024;

/** The content of a file; undefined if it is missing. @throws CONFIGURATION_INVALID */
export async function readConfiguration(path: string): Promise<Buffer | undefined> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MAX_BYTES) throw invalidFile(path, `is larger than ${MAX_BYTES} bytes`);
    return bytes;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    if (isErrno(error)) throw invalidFile(path, `cannot be read (${messageOf(error)})`);
    throw error;
  }
}

/** The content of a file that another file or variable names. @throws CONFIGURATION_INVALID */
export async function readRequiredConfiguration(path: string): Promise<Buffer> {
  const bytes = await readConfiguration(path);
  if (bytes === undefined) throw invalidFile(path, "does not exist");
  return bytes;
}

/** The error has no cause, because a parser's message may quote a secret. */
export function invalidFile(path: string, problem: string): ShaleError<"CONFIGURATION_INVALID"> {
  return new ShaleError("CONFIGURATION_INVALID", `${JSON.stringify(path)} ${problem}; correct the file`, { path });
}
