/** The entry module of fsck's worker threads. */
import { threadId } from "node:worker_threads";
import { serveWorker } from "../system/worker-pool.ts";

await serveWorker({
  fsck: async () => new (await import("./fsck-tasks.ts")).FsckTasks(),
  tree: async () => new (await import("../tree/tasks.ts")).TreeTasks(`fsck-${threadId}`),
});
