/**
 * Locks between processes: flock(2) on a lock file of the store. The kernel frees the locks of a process that dies. Only an exclusive
 * holder deletes a lock file, and a process that has locked a deleted file opens the path again: otherwise two processes could hold two
 * files with one name. Only the main thread owns locks: a terminated worker would release its locks silently. Acquiring never blocks in the
 * kernel: it polls with jitter, so neither the event loop nor the thread pool can stall.
 */
import { tryFlock } from "./syscalls.ts";

const { closeSync, constants, fstatSync, openSync, unlinkSync } = process.getBuiltinModule("node:fs");
const { setTimeout: sleep } = process.getBuiltinModule("node:timers/promises");

export type LockMode = "shared" | "exclusive";

export interface AcquireOptions {
  readonly mode?: LockMode;
  readonly signal?: AbortSignal | undefined;
  /** Called before each wait; it can read the holder's progress record. */
  readonly onWait?: () => void;
}

export class FileLock {
  #fd: number;
  readonly path: string;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** Takes the lock; undefined if it is held in a conflicting mode. Creates the file if it is missing. */
  static try(path: string, mode: LockMode = "exclusive"): FileLock | undefined {
    for (;;) {
      const lock = FileLock.tryUnchecked(path, mode);
      if (!lock || fstatSync(lock.fd).nlink > 0) return lock;
      lock.release();
    }
  }

  /** The same with one system call less, for files that cannot be deleted during this call: leases. */
  static tryUnchecked(path: string, mode: LockMode): FileLock | undefined {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    try {
      if (tryFlock(fd, mode)) return new FileLock(path, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return undefined;
  }

  static async acquire(path: string, options: AcquireOptions = {}): Promise<FileLock> {
    for (;;) {
      options.signal?.throwIfAborted();
      const lock = FileLock.try(path, options.mode);
      if (lock) return lock;
      options.onWait?.();
      await FileLock.pause(options.signal);
    }
  }

  /** Waits 5 to 50 ms, at random so that waiters do not synchronize. */
  static async pause(signal?: AbortSignal): Promise<void> {
    await sleep(5 + Math.random() * 45, undefined, { signal }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error;
    });
  }

  /** The open file that holds the lock. In a child's stdio it keeps the lock until the last holder exits. */
  get fd(): number {
    return this.#fd;
  }

  /** Converts an exclusive lock to a shared one, which cannot fail. */
  share(): void {
    if (!tryFlock(this.#fd, "shared")) throw new Error(`lost the lock ${JSON.stringify(this.path)}`);
  }

  /**
   * Converts a shared lock to an exclusive one; false if others hold it too, and it stays shared. The kernel releases one before it takes the
   * other, so use it only where no other process can take the lock exclusively meanwhile.
   */
  tryExclusive(): boolean {
    if (tryFlock(this.#fd, "exclusive")) return true;
    this.share();
    return false;
  }

  /** Deletes the lock file and releases the lock. Only for an exclusive holder, and an object that no longer exists. */
  delete(): void {
    unlinkSync(this.path);
    this.release();
  }

  /** Idempotent. */
  release(): void {
    if (this.#fd < 0) return;
    closeSync(this.#fd);
    this.#fd = -1;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
