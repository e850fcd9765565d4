/**
 * Locks between processes: flock(2) on a lock file of the store. The kernel frees the locks of a process that dies. Only an exclusive
 * holder deletes a lock file, and a process that has locked a deleted file opens the path again: otherwise two processes could hold two
 * files with one name. Owned by the main
 * thread: a terminated worker would silently drop its locks. A lock never waits in the kernel: it is tried, and tried again
 * after a few milliseconds of jitter, so neither the event loop nor the thread pool can stall.
 */
import { tryFlock } from "./syscalls.ts";

const { closeSync, constants, fstatSync, openSync, unlinkSync } = process.getBuiltinModule("node:fs");
const { setTimeout: sleep } = process.getBuiltinModule("node:timers/promises");

export type LockMode = "shared" | "exclusive";

export interface AcquireOptions {
  readonly mode?: LockMode;
  readonly signal?: AbortSignal | undefined;
  /** Called before each wait; the holder's record can be read meanwhile. */
  readonly onWait?: () => void;
}

export class FileLock {
  #fd: number;
  readonly path: string;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** The lock, or undefined when it is held in a conflicting mode. The file is made if it is not there. */
  static try(path: string, mode: LockMode = "exclusive"): FileLock | undefined {
    for (;;) {
      const lock = FileLock.tryUnchecked(path, mode);
      if (!lock || fstatSync(lock.fd).nlink > 0) return lock;
      lock.release();
    }
  }

  /** The same with one system call less, for files that are not deleted within the time of this call: leases. */
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

  /** The time between two tries: 5 to 50 ms, at random so that waiters do not meet. */
  static async pause(signal?: AbortSignal): Promise<void> {
    await sleep(5 + Math.random() * 45, undefined, { signal }).catch((error: unknown) => {
      signal?.throwIfAborted();
      throw error;
    });
  }

  /** The open file that holds the lock: handed to a child's stdio it keeps the lock until the last holder is gone. */
  get fd(): number {
    return this.#fd;
  }

  /** Turns an exclusive lock into a shared one, which cannot fail. */
  share(): void {
    if (!tryFlock(this.#fd, "shared")) throw new Error(`lost the lock ${JSON.stringify(this.path)}`);
  }

  /**
   * Turns a shared lock into an exclusive one; false when others hold it too, and it is shared as before. The kernel lets go of the one
   * before it takes the other: only for where nobody else can take it exclusively meanwhile.
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
