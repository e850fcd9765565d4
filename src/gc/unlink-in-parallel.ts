/**
 * Unlinks many files as fast as the disk allows. Each call waits for it: so this thread and the workers that have nothing else to do
 * take files from one list. A worker that is busy is not waited for: when it comes there is nothing left to take.
 */
import { unlinkSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isErrno } from "../errors.ts";
import type { WorkerPool } from "../system/worker-pool.ts";

export interface UnlinkRequest {
  /** With a NUL between them: one text is sent in a fraction of the time. */
  readonly paths: string;
  /** Shared: the first path that nobody took, whether somebody met an error, then of each worker whether it is at it. */
  readonly state: Int32Array<SharedArrayBuffer>;
  readonly worker: number;
}

const NEXT = 0;
const FAILED = 1;
const WORKERS = 2;
/** A place that no list reaches: nothing can be taken any more. */
const END: number = 1 << 30;

/** Paths taken at once: a millisecond. */
const SHARE = 16;
/** With fewer it is not worth it to ask others. */
const MANY = 128;
/** How often (ms) it is looked whether a worker that is waited for still lives. */
const LOOK_MS = 20;

/**
 * How many of the paths, from the first, are gone: all, unless time was up (`until`, as of performance.now()). Nobody unlinks any more
 * when it resolves. What was gone before is no error.
 */
export async function unlinkTogether(pool: WorkerPool, paths: readonly string[], until: number): Promise<number> {
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
      await Atomics.waitAsync(state, WORKERS + worker, 1, LOOK_MS).value;
  // the second time the error is this thread's; and what a dead worker had taken is still there
  if (Atomics.load(state, FAILED) !== 0 || dead.size > 0) for (const path of paths.slice(0, taken)) unlink(path);
  return taken;
}

/** The workers' side. */
export function helpUnlink({ paths, state, worker }: UnlinkRequest): void {
  // before anything is taken: who sees 0 here after the end knows that nothing is unlinked any more
  Atomics.store(state, WORKERS + worker, 1);
  if (Atomics.load(state, NEXT) < END) for (const list = paths.split("\0"); unlinkShare(list, state););
  Atomics.store(state, WORKERS + worker, 0);
  Atomics.notify(state, WORKERS + worker);
}

/** False when nothing is left. */
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
