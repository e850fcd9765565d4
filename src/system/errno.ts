/** Finds the operating system's error behind others: causes, what a disposal suppressed, and those of LevelDB and rmSync, which are text. */
import { isError } from "../errors.ts";

const { constants } = process.getBuiltinModule("node:os");

/** strerror(3) of those that a user can act on, as LevelDB quotes them, and Node's rmSync those that it has no name for. */
const TEXTS: Readonly<Record<string, string>> = {
  "No space left on device": "ENOSPC",
  "Disk quota exceeded": "EDQUOT",
  "Permission denied": "EACCES",
  "Operation not permitted": "EPERM",
  "Read-only file system": "EROFS",
  "Too many open files in system": "ENFILE",
  "Too many open files": "EMFILE",
  "Input/output error": "EIO",
};

/** More than any chain of causes has. */
const DEPTH = 10;

/** What was thrown first, where disposing of things on the way out failed as well. */
export function firstError(error: unknown): unknown {
  let first = error;
  for (let depth = 0; depth < DEPTH && isError(first) && first.name === "SuppressedError" && "suppressed" in first; depth++)
    first = first.suppressed;
  return first;
}

/** The errno code of an error or of what caused it; undefined when there is none. */
export function errnoOf(error: unknown): string | undefined {
  let at = error;
  for (let depth = 0; depth < DEPTH && isError(at); depth++) {
    if ("syscall" in at && "code" in at && typeof at.code === "string") {
      const name = /^E[A-Z0-9]+$/.test(at.code) ? at.code : nameOf(at as NodeJS.ErrnoException);
      if (name !== undefined) return name;
    }
    const text = at.message;
    const quotes = ("code" in at && String(at.code).startsWith("LEVEL_")) || text.includes("Unknown error: ");
    const known = quotes ? Object.keys(TEXTS).find((one) => text.includes(one)) : undefined;
    if (known !== undefined) return TEXTS[known];
    at = at.cause;
  }
  return undefined;
}

/** Node has no name for some, EDQUOT among them, and says UNKNOWN, or "Unknown system error -122". */
function nameOf(error: NodeJS.ErrnoException): string | undefined {
  return Object.entries(constants.errno).find(([, value]) => value === -(error.errno ?? 0))?.[0];
}
