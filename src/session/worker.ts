/** A worker thread: ingest, trees and removal. It uses no network and owns no lock. */
import type { GcTaskMap } from "../gc/gc-tasks.ts";
import type { IngestTaskMap } from "../ingest/pipeline/engine.ts";
import type { TreeTaskMap } from "../tree/tasks.ts";
import type { ViewTaskMap } from "../view/tasks.ts";
import { threadId } from "node:worker_threads";
import { serveWorker } from "../system/worker-pool.ts";

export type WorkerTaskMap = IngestTaskMap & TreeTaskMap & ViewTaskMap & GcTaskMap;

await serveWorker<WorkerTaskMap>({
  ingest: async () => new (await import("../ingest/pipeline/engine.ts")).Engine(),
  tree: async () => new (await import("../tree/tasks.ts")).TreeTasks(`link-${threadId}`),
  view: async () => new (await import("../view/tasks.ts")).ViewTasks(`rootfs-${threadId}`),
  gc: async () => new (await import("../gc/gc-tasks.ts")).GcTasks(),
});
