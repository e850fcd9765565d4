/** The locks that keep a pull's layers and trees from gc until its image is recorded. */
import type { DiffId } from "../image/digest.ts";
import type { FileLock } from "../system/file-lock.ts";

/** The part of a layer's tree that was created while the layer was ingested: see TreeTask. */
export interface StagedTree {
  readonly directory: string;
  readonly placed: SharedArrayBuffer;
}

export class Holds implements Disposable {
  readonly #locks: FileLock[] = [];
  /** Trees whose locks are held, by id, with the index of the layer that each was reported for. */
  readonly trees: Map<string, number> = new Map();
  /** Layers that this pull ingested, with their staged trees: no other tree has the inodes that were created for them. */
  readonly ingested: Map<DiffId, StagedTree | undefined> = new Map();

  /** Takes over a lock. */
  add(lock: FileLock): void {
    this.#locks.push(lock);
  }

  /** Hands over the staged tree of a layer, once. The receiver completes or removes it. */
  takeTree(diffId: DiffId): StagedTree | undefined {
    const tree = this.ingested.get(diffId);
    if (tree !== undefined) this.ingested.set(diffId, undefined);
    return tree;
  }

  /** Idempotent; locks can be added again afterwards. */
  release(): void {
    for (const lock of this.#locks.splice(0)) lock.release();
    this.trees.clear();
    this.ingested.clear();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
