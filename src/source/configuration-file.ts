/** Files that users configure their machine with: read whole, bounded, their faults told by path and never by content. */
import { readFile } from "node:fs/promises";
import { isErrno, ShaleError } from "../errors.ts";

const MAX_BYTES = 4 * 1024 * 1024;

/** The bytes of a file, or undefined if there is none. @throws CONFIGURATION_INVALID */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MAX_BYTES) throw invalidFile(path, `is longer than ${MAX_BYTES} bytes`);
    return bytes;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    if (isErrno(error)) throw invalidFile(path, `cannot be read: ${(error as Error).message}`);
    throw error;
  }
}

/** A file that is named by another, and so must be there. @throws CONFIGURATION_INVALID */
export async function readRequired(path: string): Promise<Buffer> {
  const bytes = await readIfThere(path);
  if (bytes === undefined) throw invalidFile(path, "is not there");
  return bytes;
}

/** Without a cause: a parser's own message may quote what is secret. */
export function invalidFile(path: string, problem: string): ShaleError<"CONFIGURATION_INVALID"> {
  return new ShaleError("CONFIGURATION_INVALID", `${JSON.stringify(path)} ${problem}; correct the file`, { path });
}
