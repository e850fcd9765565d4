/** Making a tree: written in staging by the workers, published by one rename. */
import { renameSync, rmSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { isRealDirectory } from "../store/planted.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import type { ComposedLayer, TreeStep } from "./tasks.ts";
import type { TreeTask } from "./tree-plan.ts";

export interface MaterializeOptions {
  readonly pool: WorkerPool;
  readonly composed: ComposedLayer;
  /** `tree` is a path in staging that nothing has. */
  readonly task: TreeTask;
  /** Where the tree belongs. */
  readonly target: string;
  readonly signal?: AbortSignal | undefined;
  readonly onAdvanced: (entries: number) => void;
}

/** Entries that one request to a worker makes: small enough for progress and cancellation. */
const SLICE = 4000;

/** Makes the tree unless it is there. Another process may publish the same tree first: then that one stays. */
export async function materializeTree(options: MaterializeOptions): Promise<void> {
  const { task, target, composed } = options;
  if (isRealDirectory(target)) return;
  try {
    await writeTree(options, composed.live);
    options.signal?.throwIfAborted();
    publish(task.tree, target);
  } finally {
    rmSync(task.tree, { recursive: true, force: true });
  }
}

async function writeTree({ pool, task, signal, onAdvanced }: MaterializeOptions, live: number): Promise<void> {
  const run = (step: Omit<TreeStep, "task">, worker: number): Promise<void> =>
    pool.run("tree/step", { task, ...step } satisfies TreeStep, { worker });
  await run({ from: 0, to: 0, directories: true, finish: false }, 0);
  let next = 0;
  let done = 0;
  const lane = async (_: unknown, worker: number): Promise<void> => {
    for (let from = next; from < live; from = next) {
      signal?.throwIfAborted();
      const to = (next = Math.min(from + SLICE, live));
      await run({ from, to, directories: false, finish: false }, worker);
      onAdvanced((done += to - from));
    }
  };
  await Promise.all(Array.from({ length: Math.min(pool.size, Math.ceil(live / SLICE)) }, lane));
  await run({ from: 0, to: 0, directories: false, finish: true }, 0);
}

function publish(staged: string, target: string): void {
  try {
    renameSync(staged, target);
  } catch (error) {
    if (!isErrno(error, "EEXIST", "ENOTEMPTY")) throw error;
  }
}
