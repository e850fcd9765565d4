/**
 * Unfinished work. Each open store handle has its own directory in staging/ and holds the lock file inside. If the lock of a directory is
 * free, its process has died, and any process may delete the directory. See format/store.md, "Staging".
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

  /** Creates this handle's directory. Deletes the directories of dead processes and the files of interrupted durable writes. */
  static create(layout: StoreLayout): Staging {
    for (const name of readdirSync(layout.staging)) {
      const path = join(layout.staging, name);
      if (parseStagingName(name).kind === "work") sweep(path);
      else sweepFile(path);
    }
    return Staging.createBesideDead(layout);
  }

  /** Creates this handle's directory and deletes nothing. */
  static createBesideDead(layout: StoreLayout): Staging {
    for (;;) {
      const directory = layout.work(randomBytes(8).toString("hex"));
      mkdirSync(directory, { mode: 0o700 });
      const lock = tryOwn(directory);
      if (lock) return new Staging(directory, lock);
    }
  }

  /** Returns a path in the directory that was not used before. */
  fresh(prefix: string): string {
    return join(this.directory, `${prefix}-${this.#next++}`);
  }

  /** Deletes the directory. Idempotent. */
  close(): void {
    try {
      removeOwned(this.directory);
    } finally {
      this.#lock.release();
    }
  }
}

/** Returns undefined if another process has deleted the directory before it was locked, or the lock file before it was locked. */
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

/** Age in ms at which such a file is deleted. A durable write takes milliseconds. */
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
 * Deletes the lock file last, so that no other process deletes the same directory. A process that opens the directory after that finds it
 * empty, creates the lock file again, and deletes both.
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
