/** Maps errno codes of the store's file system to ShaleErrors. */
import { isErrno, ShaleError } from "../errors.ts";
import { errnoOf, firstError } from "../system/errno.ts";

/** Errno codes of a disk that is broken or missing, or of a file system that has shut down. */
const FAILING: readonly string[] = ["EIO", "EREMOTEIO", "EUCLEAN", "ENXIO", "ENODEV", "ESTALE", "ESHUTDOWN", "ENOLCK"];

/** Returns the error to throw for `thrown`, which happened in the store at `path`: a ShaleError if the user can act, otherwise the error itself. */
export function storeError(thrown: unknown, path: string): unknown {
  const error = firstError(thrown);
  if (ShaleError.is(error)) return error;
  const quoted = JSON.stringify(path);
  const errno = errnoOf(error) ?? "";
  const options = { cause: error };
  if (errno === "ENOSPC" || errno === "EDQUOT") {
    return new ShaleError("NO_SPACE", `cannot write ${quoted}: the disk or quota is full; free space and retry`, { path }, options);
  }
  if (errno === "EACCES" || errno === "EPERM" || errno === "EROFS") {
    return new ShaleError("STORE_UNWRITABLE", `cannot write ${quoted}; choose another store or fix its permissions`, { path }, options);
  }
  if (errno === "EMFILE" || errno === "ENFILE") {
    const message = `no file descriptor is left for the store ${quoted} (${errno}); close files or raise the limit, and retry`;
    return new ShaleError("NO_DESCRIPTORS", message, { path }, options);
  }
  if (FAILING.includes(errno)) {
    const message = `the disk of ${quoted} fails (${errno}); read the kernel's log, and retry once the disk works again`;
    return new ShaleError("STORE_IO", message, { path, errno }, options);
  }
  if (isErrno(error, "ELOOP")) {
    const link = (error as NodeJS.ErrnoException).path ?? path;
    const message = `${JSON.stringify(link)} is a symlink, which a store never contains and shale does not follow; remove it`;
    return new ShaleError("STORE_DAMAGED", message, { path: link }, { cause: error });
  }
  if (isErrno(error, "ENAMETOOLONG")) {
    const message = `a path of the image is too long below ${quoted}; put the store where its own path is shorter`;
    return new ShaleError("STORE_FILESYSTEM", message, { path }, { cause: error });
  }
  return error;
}

/** Runs `action`. Throws the ShaleError of storeError() for an errno that the user can act on. */
export async function inStore<T>(path: string, action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storeError(error, path);
  }
}
