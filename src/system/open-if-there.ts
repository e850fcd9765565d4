import { isErrno } from "../errors.ts";

const { constants, openSync } = process.getBuiltinModule("node:fs");

/** Opens a file to read it, following no symlink and waiting for no FIFO. Undefined when no file is there. */
export function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ELOOP", "ENXIO")) return undefined;
    throw error;
  }
}
