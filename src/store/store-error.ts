/** What an errno means when it happens inside a store. */
import { isErrno, ShaleError } from "../errors.ts";
import { errnoOf, firstError } from "../system/errno.ts";

/** How a disk says that it is broken or gone, or a file system that it has stopped. */
const FAILING: readonly string[] = ["EIO", "EREMOTEIO", "EUCLEAN", "ENXIO", "ENODEV", "ESTALE", "ESHUTDOWN", "ENOLCK"];

/** The error to throw instead of `thrown`, which happened at `path` in a store: a code where the user can act, else the error itself. */
export function storeError(thrown: unknown, path: string): unknown {
  const error = firstError(thrown);
  if (ShaleError.is(error)) return error;
  const quoted = JSON.stringify(path);
  const errno = errnoOf(error) ?? "";
  const options = { cause: error };
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new ShaleError("NO_SPACE", `cannot write ${quoted}: the disk or quota is full; free space and try again`, { path }, options);
  }
  if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") {
    return new ShaleError("STORE_UNWRITABLE", `cannot write ${quoted}; choose another store or fix its permissions`, { path }, options);
  }
  if (errno === "EMFILE" || errno === "ENFILE") {
    const message = `no file descriptor is left (${errno}) for the store ${quoted}; close files or raise the limit, and try again`;
    return new ShaleError("NO_DESCRIPTORS", message, { path }, options);
  }
  if (FAILING.includes(errno)) {
    const message = `the disk of ${quoted} fails (${errno}); look at the kernel's log, and try again when it is well`;
    return new ShaleError("STORE_IO", message, { path, errno }, options);
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
