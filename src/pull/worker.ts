/** What runs in each worker thread: ingest, trees and removal, and nothing that talks to the network or owns a lock. */
import { threadId } from "node:worker_threads";
// its calls of koffi, the native module, come before the worker says that it is loaded: see Loaded in worker-pool.ts
import "../system/syscalls.ts";
import { serveWorker, type Service } from "../system/worker-pool.ts";

await serveWorker({
  ingest: async (): Promise<Service> => {
    const { Engine } = await import("../ingest/engine.ts");
    const engine = new Engine();
    return { handlers: engine.handlers, background: engine };
  },
  tree: async () => new (await import("../tree/tasks.ts")).TreeTasks(`link-${threadId}`),
  view: async () => new (await import("../view/tasks.ts")).ViewTasks(`rootfs-${threadId}`),
  gc: async () => new (await import("../gc/tasks.ts")).GcTasks(),
});
