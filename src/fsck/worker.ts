/** What runs in fsck's worker threads. */
import { threadId } from "node:worker_threads";
// its calls of koffi, the native module, come before the worker says that it is loaded: see Loaded in worker-pool.ts
import "../system/syscalls.ts";
import { serveWorker } from "../system/worker-pool.ts";

await serveWorker({
  fsck: async () => new (await import("./tasks.ts")).FsckTasks(),
  tree: async () => new (await import("../tree/tasks.ts")).TreeTasks(`fsck-${threadId}`),
});
