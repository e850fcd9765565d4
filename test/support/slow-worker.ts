/** A worker that takes its time to load, and says when it has. */
import { writeSync } from "node:fs";
import { serveWorker } from "../../src/system/worker-pool.ts";

Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
// not by console, which goes through the thread that may be waiting
writeSync(1, "loaded\n");
await serveWorker({});
