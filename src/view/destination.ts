/** The destination of a root file system. It is written beside the destination and renamed, or in it if renaming is impossible. */
import { lstatSync, mkdtempSync, readdirSync, realpathSync, renameSync, statSync } from "node:fs";
import { rm, readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
import { errnoOf } from "../system/errno.ts";

export class Destination {
  /** Absolute, symlinks resolved. */
  readonly path: string;
  /** An empty directory to write the root file system in. */
  readonly tree: string;

  private constructor(path: string, tree: string) {
    this.path = path;
    this.tree = tree;
  }

  /** `path` must be missing or an empty directory, and outside `store`. @throws DESTINATION_UNUSABLE */
  static prepare(path: string, store?: string): Destination {
    return usable(path, () => {
      const exists = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
      const real = exists ? realpathSync(path) : join(realpathSync(dirname(resolve(path))), basename(resolve(path)));
      if (real === store || real.startsWith(`${store}/`)) throw unusable(path, "lies in the store");
      if (exists && !statSync(real).isDirectory()) throw unusable(path, "is no directory");
      if (exists && readdirSync(real).length > 0) throw unusable(path, "is not empty");
      return new Destination(real, stage(real, exists));
    });
  }

  /** Publishes the root file system. @throws DESTINATION_UNUSABLE if something was created at the destination meanwhile */
  publish(): void {
    if (this.tree !== this.path) usable(this.path, () => renameSync(this.tree, this.path));
  }

  /** Removes everything that was written; idempotent. */
  async discard(): Promise<void> {
    if (this.tree !== this.path) return rm(this.tree, { recursive: true, force: true });
    for (const name of await readdir(this.path, { encoding: "buffer" }))
      await rm(Buffer.concat([Buffer.from(`${this.path}/`), name]), { recursive: true, force: true });
  }
}

/** A mount point cannot be replaced, nor a directory in a parent that this user cannot write: those are filled in place. */
function stage(real: string, exists: boolean): string {
  if (exists && statSync(real).dev !== statSync(dirname(real)).dev) return real;
  try {
    return mkdtempSync(join(dirname(real), ".shale-"));
  } catch (error) {
    if (exists && isErrno(error, "EACCES", "EPERM", "EROFS")) return real;
    throw error;
  }
}

function usable<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw destinationError(error, path);
  }
}

/** Translates an error that occurred while a root file system was written at `path`. */
export function destinationError(error: unknown, path: string): unknown {
  if (ShaleError.is(error, "STORE_FILESYSTEM")) return unusable(path, "is on a file system that cannot hold the image's attributes", error);
  if (ShaleError.is(error)) return error;
  if (["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "")) {
    const message = `cannot write ${JSON.stringify(path)}: the disk or quota is full; free space and try again`;
    return new ShaleError("NO_SPACE", message, { path }, { cause: error });
  }
  if (isErrno(error, "EACCES", "EPERM", "EROFS")) return unusable(path, "cannot be written", error);
  if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EEXIST", "ENOTEMPTY", "EBUSY"))
    return unusable(path, "has no parent directory, or was changed meanwhile", error);
  return error;
}

function unusable(path: string, why: string, cause?: unknown): ShaleError<"DESTINATION_UNUSABLE"> {
  const message = `${JSON.stringify(path)} ${why}; name a new or empty directory of yours`;
  return new ShaleError("DESTINATION_UNUSABLE", message, { path }, { cause });
}
