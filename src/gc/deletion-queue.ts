/** Directories that nobody can see any more: the workers delete them while the collection goes on. */
import type { WorkerPool } from "../system/worker-pool.ts";
import type { DeleteRequest } from "./gc-tasks.ts";

/** Longest time (ms) that a worker, which pulls of this process need too, is kept at a stretch. */
const SLICE_MS = 20;

export class Trash implements AsyncDisposable {
  readonly #pool: WorkerPool;
  readonly #waiting: string[] = [];
  /** By worker. */
  readonly #working = new Map<number, Promise<void>>();
  readonly #failures: unknown[] = [];
  #ended = false;

  constructor(pool: WorkerPool) {
    this.#pool = pool;
  }

  /** Begins to delete a directory in staging with all that is in it. */
  add(directory: string): void {
    this.#waiting.push(directory);
    this.#begin(0);
  }

  /** Resolves when all is gone. */
  async empty(): Promise<void> {
    await this.#idle();
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  /** Resolves when nothing is being deleted any more. What is left is left to the next collection. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#idle();
  }

  async #idle(): Promise<void> {
    while (this.#working.size > 0) await Promise.all(this.#working.values());
  }

  #begin(worker: number): void {
    if (this.#waiting.length === 0 || worker >= this.#pool.size || this.#working.has(worker)) return;
    const work = this.#deleteAll(worker)
      .catch((error: unknown) => this.#failures.push(error))
      .then(() => void this.#working.delete(worker));
    this.#working.set(worker, work);
  }

  /** What takes longer than a slice is worth another worker. */
  async #deleteAll(worker: number): Promise<void> {
    for (let directory = this.#waiting.shift(); directory !== undefined && !this.#ended; directory = this.#waiting.shift()) {
      const request: DeleteRequest = { directory, slice: SLICE_MS };
      while (!this.#ended && !(await this.#pool.run<boolean>("gc/delete", request, { worker }))) this.#begin(worker + 1);
    }
  }
}
