/** Finds the operating system's error behind another error: a cause, a suppressed error, or the text of LevelDB and rmSync errors. */
import { isError } from "../errors.ts";

const { constants } = process.getBuiltinModule("node:os");

/** strerror(3) texts of errors that a user can act on. LevelDB quotes them, as does Node's rmSync for errors that it has no name for. */
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

/** Maximum length of a chain of causes. */
const DEPTH = 10;

/** The first error, if a disposal failed too afterwards. */
export function firstError(error: unknown): unknown {
  let first = error;
  for (let depth = 0; depth < DEPTH && isError(first) && first.name === "SuppressedError" && "suppressed" in first; depth++)
    first = first.suppressed;
  return first;
}

/** The errno code of an error or of its cause; undefined if there is none. */
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

/** Node has no name for some errors, such as EDQUOT, and reports UNKNOWN or "Unknown system error -122". */
function nameOf(error: NodeJS.ErrnoException): string | undefined {
  return Object.entries(constants.errno).find(([, value]) => value === -(error.errno ?? 0))?.[0];
}
