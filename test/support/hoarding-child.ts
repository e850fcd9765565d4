/** A pool whose worker runs out of memory, and what comes after: started with a small heap, it prints what became of both. */
import { stdout } from "node:process";
import { ShaleError } from "../../src/errors.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import type { TestTaskMap } from "./mortal-worker.ts";

const pool = new WorkerPool<TestTaskMap>(new URL("./mortal-worker.js", import.meta.url), { size: 1 });
const error: unknown = await pool.run("test/hoard", undefined).catch((thrown: unknown) => thrown);
const code = ShaleError.is(error) ? error.code : String(error);
stdout.write(JSON.stringify({ code, echo: await pool.run("test/echo", 7) }));
await pool.close();
