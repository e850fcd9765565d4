/** Making a tree: written in staging by the workers, published by one rename. */
import { mkdirSync, renameSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isErrno } from "../errors.ts";
import { isRealDirectory } from "../store/planted.ts";
import { deleteDirectory } from "../system/delete-directory.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import { inSlices } from "./in-slices.ts";
import { FOR_ONE, PHASES } from "./phases.ts";
import type { ComposedLayer, TreeStep } from "./tasks.ts";
import type { TreeTask } from "./tree-plan.ts";

export interface MaterializeOptions {
  readonly pool: WorkerPool;
  readonly composed: ComposedLayer;
  /** `tree` is a path in staging: gone when this is done. */
  readonly task: TreeTask;
  /** Where the tree belongs. */
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
  readonly onAdvanced: (entries: number) => void;
}

/** Makes the tree unless it is there. Another process may publish the same tree first: then that one stays. */
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
    if (FOR_ONE.includes(phase)) await run({ phase, from: 0, to: live }, 0);
    else {
      const make = (range: { from: number; to: number }, worker: number): Promise<void> => run({ phase, ...range }, worker);
      await inSlices(pool, { total: live, make, signal, onAdvanced: phase === "files" ? onAdvanced : () => {} });
    }
  }
}

/** What was not published; idempotent. Others get their turn meanwhile. */
export async function removeStagedTree(tree: string): Promise<void> {
  let names = 0;
  for (const _ of deleteDirectory(tree)) if (++names % 64 === 0) await nextTurn();
}

function publish(staged: string, target: string): void {
  try {
    renameSync(staged, target);
  } catch (error) {
    if (!isErrno(error, "EEXIST", "ENOTEMPTY")) throw error;
  }
}
