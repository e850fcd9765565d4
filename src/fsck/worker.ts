/** What runs in fsck's worker threads. */
import { threadId } from "node:worker_threads";
import { serveWorker } from "../system/worker-pool.ts";
import { TreeTasks } from "../tree/tasks.ts";
import { FsckTasks } from "./tasks.ts";

await serveWorker({ ...new FsckTasks().handlers, ...new TreeTasks(`fsck-${threadId}`).handlers });
