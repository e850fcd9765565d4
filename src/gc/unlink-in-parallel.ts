/**
 * Unlinks many files as fast as the disk allows. Each unlink waits for the disk, so this thread and the idle workers take files from
 * one shared list. A busy worker does not delay the others: when it starts, the list is empty.
 */
import { unlinkSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isErrno } from "../errors.ts";
import type { Task, WorkerPool } from "../system/worker-pool.ts";

export interface UnlinkTaskMap {
  "gc/unlink": Task<UnlinkRequest, void>;
}

export interface UnlinkRequest {
  /** Joined by NUL: sending one string takes a fraction of the time that an array takes. */
  readonly paths: string;
  /** Shared memory: the index of the next path, whether an unlink failed, then for each worker whether it is working. */
  readonly state: Int32Array & { readonly buffer: SharedArrayBuffer };
  readonly worker: number;
}

const NEXT = 0;
const FAILED = 1;
const WORKERS = 2;
/** An index beyond the end of any list: no path can be taken any more. */
const END: number = 1 << 30;

/** Paths taken together: about a millisecond of work. */
const SHARE = 16;
/** With fewer paths the workers are not asked: messages would cost more than they gain. */
const MANY = 128;
/** Interval (ms) of the check whether an awaited worker is still alive. */
const CHECK_MS = 20;

/**
 * Returns how many paths, counted from the first, are unlinked: all, unless the time `until` (of performance.now()) was reached. No
 * worker unlinks any more when it resolves. A path that does not exist is not an error.
 */
export async function unlinkInParallel(pool: WorkerPool<UnlinkTaskMap>, paths: readonly string[], until: number): Promise<number> {
  const helpers = paths.length < MANY ? 0 : pool.size;
  const state = new Int32Array(new SharedArrayBuffer(4 * (WORKERS + helpers)));
  const dead = new Set<number>();
  const request = { paths: helpers > 0 ? paths.join("\0") : "", state };
  for (let worker = 0; worker < helpers; worker++)
    pool.run("gc/unlink", { ...request, worker } satisfies UnlinkRequest, { worker }).catch(() => dead.add(worker));
  while (unlinkShare(paths, state) && performance.now() < until) await nextTurn();
  const taken = Math.min(Atomics.exchange(state, NEXT, END), paths.length);
  for (let worker = 0; worker < helpers; worker++)
    while (Atomics.load(state, WORKERS + worker) !== 0 && !dead.has(worker))
      await Atomics.waitAsync(state, WORKERS + worker, 1, CHECK_MS).value;
  // unlink again, to throw the error in this thread, and because the paths that a dead worker took may still exist
  if (Atomics.load(state, FAILED) !== 0 || dead.size > 0) for (const path of paths.slice(0, taken)) unlink(path);
  return taken;
}

/** Runs in a worker. */
export function helpUnlink({ paths, state, worker }: UnlinkRequest): void {
  // set before a path is taken: a 0 that is read after the end means that this worker unlinks no more
  Atomics.store(state, WORKERS + worker, 1);
  if (Atomics.load(state, NEXT) < END) for (const list = paths.split("\0"); unlinkShare(list, state););
  Atomics.store(state, WORKERS + worker, 0);
  Atomics.notify(state, WORKERS + worker);
}

/** Returns false if no path is left. */
function unlinkShare(paths: readonly string[], state: Int32Array): boolean {
  const from = Atomics.add(state, NEXT, SHARE);
  if (from >= paths.length) return false;
  try {
    for (let at = from; at < Math.min(from + SHARE, paths.length); at++) unlink(paths[at]!);
  } catch {
    Atomics.store(state, FAILED, 1);
  }
  return true;
}

function unlink(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
