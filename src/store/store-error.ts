/** What an errno means when it happens inside a store. */
import { isErrno, ShaleError } from "../errors.ts";

/** The error to throw instead of `error`, which happened at `path` in a store: a code where the user can act, else `error` itself. */
export function storeError(error: unknown, path: string): unknown {
  const quoted = JSON.stringify(path);
  if (isErrno(error, "ENOSPC", "EDQUOT")) {
    return new ShaleError(
      "NO_SPACE",
      `cannot write ${quoted}: the disk or quota is full; free space and try again`,
      { path },
      { cause: error },
    );
  }
  if (isErrno(error, "EACCES", "EPERM", "EROFS")) {
    return new ShaleError(
      "STORE_UNWRITABLE",
      `cannot write ${quoted}; choose another store or fix its permissions`,
      { path },
      { cause: error },
    );
  }
  if (isErrno(error, "ELOOP")) {
    const planted = (error as NodeJS.ErrnoException).path ?? path;
    const message = `${JSON.stringify(planted)} is a symlink, which no file of a store is, and is not followed; remove it`;
    return new ShaleError("STORE_DAMAGED", message, { path: planted }, { cause: error });
  }
  if (isErrno(error, "ENAMETOOLONG")) {
    const message = `a path of the image is too long below ${quoted}; put the store where its own path is shorter`;
    return new ShaleError("STORE_FILESYSTEM", message, { path }, { cause: error });
  }
  return error;
}

/** Runs `action`; an errno that a user can act on comes out with its code. */
export async function inStore<T>(path: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storeError(error, path);
  }
}
