/** Directories that nobody can see any more: the workers delete them while the collection goes on. */
import type { WorkerPool } from "../system/worker-pool.ts";
import type { DeleteRequest } from "./tasks.ts";

/** Longest time (ms) that a worker, which pulls of this process need too, is kept at a stretch. */
const SLICE_MS = 20;

export class Trash implements AsyncDisposable {
  readonly #pool: WorkerPool;
  /** What each worker has to do, one directory after the other. */
  readonly #work: Promise<void>[];
  #next = 0;
  #ended = false;

  constructor(pool: WorkerPool) {
    this.#pool = pool;
    this.#work = Array.from({ length: pool.size }, () => Promise.resolve());
  }

  /** Begins to delete a directory in staging with all that is in it. */
  add(directory: string): void {
    const worker = this.#next++ % this.#work.length;
    const work = this.#work[worker]!.then(() => this.#delete(directory, worker));
    this.#work[worker] = work;
    // `empty` tells it
    work.catch(() => undefined);
  }

  /** Resolves when all is gone. */
  async empty(): Promise<void> {
    await Promise.all(this.#work);
  }

  /** Resolves when nothing is being deleted any more. What is left is left to the next collection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await Promise.allSettled(this.#work);
  }

  async #delete(directory: string, worker: number): Promise<void> {
    const request: DeleteRequest = { directory, slice: SLICE_MS };
    while (!this.#ended && !(await this.#pool.run<boolean>("gc/delete", request, { worker })));
  }
}
