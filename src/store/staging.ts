/**
 * Unfinished work. Each open store handle has a directory of its own under staging/, with a lock file inside that it holds
 * while it lives; a directory whose lock is free belongs to a process that died, and anybody may sweep it.
 */
import { fstatSync, lstatSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { isErrno } from "../errors.ts";
import { deleteDirectory } from "../system/delete-directory.ts";
import { FileLock } from "../system/file-lock.ts";
import { parseStagingName, WORK_OWNER, type StoreLayout } from "./layout.ts";

export class Staging {
  readonly directory: string;
  #lock: FileLock;
  #next = 0;

  private constructor(directory: string, lock: FileLock) {
    this.directory = directory;
    this.#lock = lock;
  }

  /** Makes this handle's directory, and sweeps those of the dead, and small files whose durable write was cut short. */
  static create(layout: StoreLayout): Staging {
    for (const name of readdirSync(layout.staging)) {
      const path = join(layout.staging, name);
      if (parseStagingName(name).kind === "work") sweep(path);
      else sweepFile(path);
    }
    return Staging.createBesideDead(layout);
  }

  /** The same, without sweeping. */
  static createBesideDead(layout: StoreLayout): Staging {
    for (;;) {
      const directory = layout.work(randomBytes(8).toString("hex"));
      mkdirSync(directory, { mode: 0o700 });
      const lock = tryOwn(directory);
      if (lock) return new Staging(directory, lock);
    }
  }

  /** A path in the directory that nothing has had before. */
  fresh(prefix: string): string {
    return join(this.directory, `${prefix}-${this.#next++}`);
  }

  /** Removes the directory and all in it; idempotent. */
  close(): void {
    try {
      removeOwned(this.directory);
    } finally {
      this.#lock.release();
    }
  }
}

/** A sweeper may take a directory between its mkdir and its lock, and the lock's file between its opening and its lock: then it is not ours. */
function tryOwn(directory: string): FileLock | undefined {
  try {
    const lock = FileLock.try(join(directory, WORK_OWNER));
    if (lock && fstatSync(lock.fd).nlink > 0) return lock;
    lock?.release();
    return undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Such a file lives for milliseconds: an old one is nobody's. */
const ABANDONED_MS = 3_600_000;

function sweepFile(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() && stat.mtimeMs < Date.now() - ABANDONED_MS) rmSync(path, { force: true });
}

function sweep(directory: string): void {
  using lock = tryOwn(directory);
  if (lock) removeOwned(directory);
}

/**
 * The lock's file goes last, so that nobody else sweeps what is being removed. Who comes between it and the directory finds that empty,
 * makes the file again, and removes both.
 */
function removeOwned(directory: string): void {
  try {
    for (const name of readdirSync(directory)) if (name !== WORK_OWNER) for (const _ of deleteDirectory(join(directory, name)));
    rmSync(join(directory, WORK_OWNER), { force: true });
    rmdirSync(directory);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTEMPTY")) throw error;
  }
}
