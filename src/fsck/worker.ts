/** The entry module of fsck's worker threads. */
import { threadId } from "node:worker_threads";
import type { TreeTaskMap } from "../tree/tasks.ts";
import type { FsckTaskMap } from "./fsck-tasks.ts";
import { serveWorker } from "../system/worker-pool.ts";

await serveWorker<FsckTaskMap & TreeTaskMap>({
  fsck: async () => new (await import("./fsck-tasks.ts")).FsckTasks(),
  tree: async () => new (await import("../tree/tasks.ts")).TreeTasks(`fsck-${threadId}`),
});
