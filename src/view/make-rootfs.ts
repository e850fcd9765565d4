/** Writes a merged root file system: the workers write it beside its destination, and one rename publishes it. */
import { randomUUID } from "node:crypto";
import type { WorkerPool } from "../system/worker-pool.ts";
import { distributeEntries } from "../tree/distribute-entries.ts";
import { Destination, destinationError } from "./destination.ts";
import type { RootfsMode, RootfsTask } from "./rootfs-plan.ts";
import type { RootfsStep, ViewTaskMap } from "./tasks.ts";

export interface RootfsProgress {
  /** Names that were created, and all names. */
  readonly entries: number;
  readonly total: number;
}

export interface RootfsResult {
  /** Absolute, symlinks resolved. */
  readonly path: string;
  /** Names, including the root. */
  readonly entries: number;
  /** Files with content, by how they were written; only a `fallback` mixes them. Other names of hard links and empty files are not counted. */
  readonly linked: number;
  readonly reflinked: number;
  readonly copied: number;
}

export interface RootfsRequest {
  readonly pool: WorkerPool<ViewTaskMap>;
  readonly task: Omit<RootfsTask, "tree">;
  readonly destination: string;
  /** Directory of the store. */
  readonly store: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: RootfsProgress) => void;
}

/** @throws DESTINATION_UNUSABLE, MODE_UNSUPPORTED, NO_SPACE, STORE_DAMAGED, SIDECAR_INVALID; a failure leaves nothing */
export async function makeRootfs(request: RootfsRequest): Promise<RootfsResult> {
  const { destination: path, store, signal } = request;
  signal.throwIfAborted();
  const destination = Destination.prepare(path, store);
  try {
    const made = await write(request, { ...request.task, tree: destination.tree });
    signal.throwIfAborted();
    destination.publish();
    return { path: destination.path, ...made };
  } catch (error) {
    await destination.discard();
    throw destinationError(error, path);
  }
}

async function write({ pool, signal, onProgress }: RootfsRequest, task: RootfsTask): Promise<Omit<RootfsResult, "path">> {
  const id = randomUUID();
  const run = (step: RootfsStep["step"]): Promise<number> => pool.run("view/rootfs", { id, task, step }, { worker: 0 });
  const total = await run("directories");
  const counts = { linked: 0, reflinked: 0, copied: 0 };
  const make = async (range: { from: number; to: number }, worker: number): Promise<void> => {
    const { linked, reflinked, copied } = await pool.run("view/rootfs-files", { id, task, ...range }, { worker });
    counts.linked += linked;
    counts.reflinked += reflinked;
    counts.copied += copied;
  };
  await distributeEntries(pool, { total, make, signal, onAdvanced: (entries) => onProgress({ entries, total }) });
  await run("finish");
  return { entries: total, ...counts };
}

export const ROOTFS_MODES: readonly RootfsMode[] = ["link", "reflink", "copy"];
