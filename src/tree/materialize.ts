/** Creates a tree: the workers write it in staging, and one rename publishes it. */
import { mkdirSync, renameSync, rmdirSync } from "node:fs";
import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { isErrno } from "../errors.ts";
import { isRealDirectory } from "../store/real-directory.ts";
import { deleteDirectory } from "../system/delete-directory.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import { distributeEntries } from "./distribute-entries.ts";
import { SINGLE_WORKER_PHASES, PHASES } from "./tree-phases.ts";
import type { ComposedLayer, TreeStep, TreeTaskMap } from "./tasks.ts";
import type { TreeTask } from "./tree-plan.ts";

export interface MaterializeOptions {
  readonly pool: WorkerPool<TreeTaskMap>;
  readonly composed: ComposedLayer;
  /** `tree` is a path in staging, which no longer exists afterwards. */
  readonly task: TreeTask;
  /** Final path of the tree. */
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
  readonly onAdvanced: (entries: number) => void;
}

/** Creates the tree unless it exists. If another process publishes it first, that one is kept. */
export async function materializeTree(options: MaterializeOptions): Promise<void> {
  const { task, target, composed } = options;
  try {
    if (isRealDirectory(target)) return;
    await writeTree(options, composed.live);
    options.signal?.throwIfAborted();
    publish(task.tree, target);
  } finally {
    await removeStagedTree(task.tree);
  }
}

async function writeTree({ pool, task, signal, onAdvanced }: MaterializeOptions, live: number): Promise<void> {
  if (!task.placed) mkdirSync(task.tree, { mode: 0o700 });
  const run = (step: Omit<TreeStep, "task">, worker: number): Promise<void> =>
    pool.run("tree/step", { task, ...step } satisfies TreeStep, { worker });
  for (const phase of PHASES) {
    if (SINGLE_WORKER_PHASES.includes(phase)) await run({ phase, from: 0, to: live }, 0);
    else {
      const make = (range: { from: number; to: number }, worker: number): Promise<void> => run({ phase, ...range }, worker);
      await distributeEntries(pool, { total: live, make, signal, onAdvanced: phase === "files" ? onAdvanced : () => {} });
    }
  }
}

/** ms between attempts to get a descriptor: a failed pull releases its own soon. */
const RETRY_MS = 20;
const TRIES = 50;

/** Removes an unpublished tree; idempotent. Yields to the event loop. If descriptors have run out, waits for one for up to a second. */
export async function removeStagedTree(tree: string): Promise<void> {
  for (let tries = TRIES; ; tries--) {
    try {
      return await removeTree(tree);
    } catch (error) {
      if (tries === 0 || !isErrno(error, "EMFILE", "ENFILE")) throw error;
    }
    await delay(RETRY_MS);
  }
}

async function removeTree(tree: string): Promise<void> {
  if (removeEmpty(tree)) return;
  let names = 0;
  for (const _ of deleteDirectory(tree)) if (++names % 64 === 0) await nextTurn();
}

/** Needs no descriptor. False if the directory is not empty. */
function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOTEMPTY", "EEXIST")) return false;
    if (!isErrno(error, "ENOENT")) throw error;
  }
  return true;
}

function publish(staged: string, target: string): void {
  try {
    renameSync(staged, target);
  } catch (error) {
    if (!isErrno(error, "EEXIST", "ENOTEMPTY")) throw error;
  }
}
