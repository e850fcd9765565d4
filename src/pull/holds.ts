/** Locks that keep what a pull needs from gc until its image is recorded. */
import type { DiffId } from "../image/digest.ts";
import type { FileLock } from "../system/file-lock.ts";

export class Holds implements Disposable {
  readonly #locks: FileLock[] = [];
  /** The trees among them, by id: for which layer of the image each was told of. */
  readonly trees: Map<string, number> = new Map();
  /** Layers that were ingested under their locks: no tree has what was made for them. */
  readonly ingested: Set<DiffId> = new Set();

  /** The lock is released with the others. */
  add(lock: FileLock): void {
    this.#locks.push(lock);
  }

  /** Idempotent; more can be added afterwards. */
  release(): void {
    for (const lock of this.#locks.splice(0)) lock.release();
    this.trees.clear();
    this.ingested.clear();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
