import type { WorkerPool } from "../system/worker-pool.ts";

/** Entries per request to a worker: small enough for progress and cancellation. Fewer entries are left to one worker. */
export const SLICE = 4000;

export interface DistributeOptions {
  readonly total: number;
  /** Processes the entries [from, to) on a worker. */
  readonly make: (range: { readonly from: number; readonly to: number }, worker: number) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  /** Entries processed so far. */
  readonly onAdvanced: (entries: number) => void;
}

/** Distributes many entries over the workers. When it throws, no worker is still working on them. */
export async function distributeEntries(
  pool: Pick<WorkerPool<object>, "size">,
  { total, make, signal, onAdvanced }: DistributeOptions,
): Promise<void> {
  let next = 0;
  let done = 0;
  const lane = async (_: unknown, worker: number): Promise<void> => {
    for (let from = next; from < total; from = next) {
      signal?.throwIfAborted();
      const to = (next = Math.min(from + SLICE, total));
      try {
        await make({ from, to }, worker);
      } catch (error) {
        next = total;
        throw error;
      }
      onAdvanced((done += to - from));
    }
  };
  await allSettled(Array.from({ length: lanesFor(pool, total) }, lane));
}

/** Number of workers for so many entries. */
function lanesFor({ size }: Pick<WorkerPool<object>, "size">, total: number): number {
  return Math.min(size, Math.ceil(total / SLICE));
}

/** All results, or the first failure, after all have ended. */
export async function allSettled<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(works);
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
