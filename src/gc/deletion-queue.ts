/** Deletes directories in staging, which no reader looks at, in the workers while the collection continues. */
import type { WorkerPool } from "../system/worker-pool.ts";
import type { DeleteRequest, GcTaskMap } from "./gc-tasks.ts";

/** Longest time (ms) that one request occupies a worker: pulls of this process need the workers too. */
const SLICE_MS = 20;

export class DeletionQueue implements AsyncDisposable {
  readonly #pool: WorkerPool<Pick<GcTaskMap, "gc/delete">>;
  readonly #waiting: string[] = [];
  /** The running deletion of each worker that has one. */
  readonly #working = new Map<number, Promise<void>>();
  readonly #failures: unknown[] = [];
  #ended = false;

  constructor(pool: WorkerPool<Pick<GcTaskMap, "gc/delete">>) {
    this.#pool = pool;
  }

  /** Starts to delete a directory and everything in it. */
  add(directory: string): void {
    this.#waiting.push(directory);
    this.#begin(0);
  }

  /** Resolves when every directory is deleted. @throws the first error of a deletion */
  async drain(): Promise<void> {
    await this.#idle();
    if (this.#failures.length > 0) throw this.#failures[0];
  }

  /** Stops, and resolves when no deletion runs any more. The next collection deletes the rest. */
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

  /** Starts the next worker only when a directory takes longer than one slice. */
  async #deleteAll(worker: number): Promise<void> {
    for (let directory = this.#waiting.shift(); directory !== undefined && !this.#ended; directory = this.#waiting.shift()) {
      const request: DeleteRequest = { directory, slice: SLICE_MS };
      while (!this.#ended && !(await this.#pool.run("gc/delete", request, { worker }))) this.#begin(worker + 1);
    }
  }
}
