/** Locks that keep what a pull needs from gc until its image is recorded. */
import type { DiffId } from "../image/digest.ts";
import type { FileLock } from "../system/file-lock.ts";

/** What was made of a layer's tree while the layer was ingested: see TreeTask. */
export interface StagedTree {
  readonly directory: string;
  readonly placed: SharedArrayBuffer;
}

export class Holds implements Disposable {
  readonly #locks: FileLock[] = [];
  /** The trees among them, by id: for which layer of the image each was told of. */
  readonly trees: Map<string, number> = new Map();
  /** Layers that were ingested under their locks: no tree has what was made for them, but one that was staged meanwhile. */
  readonly ingested: Map<DiffId, StagedTree | undefined> = new Map();

  /** The lock is released with the others. */
  add(lock: FileLock): void {
    this.#locks.push(lock);
  }

  /** The staged tree of a layer, for whoever makes the image's of it and removes what is left; each is given once. */
  takeTree(diffId: DiffId): StagedTree | undefined {
    const tree = this.ingested.get(diffId);
    if (tree !== undefined) this.ingested.set(diffId, undefined);
    return tree;
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
