/** What runs in each worker thread: ingest and trees, and nothing that talks to the network or owns a lock. */
import { threadId } from "node:worker_threads";
import { Engine } from "../ingest/engine.ts";
import { verifyBlob, type VerifyBlobRequest } from "../ingest/verify-blob.ts";
import { GcTasks } from "../gc/tasks.ts";
import { serveWorker, type Handled } from "../system/worker-pool.ts";
import { TreeTasks } from "../tree/tasks.ts";
import { ViewTasks } from "../view/tasks.ts";

const engine: Engine = new Engine();
const trees: TreeTasks = new TreeTasks(`link-${threadId}`);
const views: ViewTasks = new ViewTasks(`rootfs-${threadId}`);

const verify = async (request: VerifyBlobRequest): Promise<Handled> => ({ value: await verifyBlob(request) });

const removal: GcTasks = new GcTasks();
await serveWorker({ ...engine.handlers, ...trees.handlers, ...views.handlers, ...removal.handlers, "ingest/verify-blob": verify }, engine);
