import assert from "node:assert/strict";
import { test } from "node:test";
import { ShaleError } from "../../src/errors.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import { run } from "../support/run.ts";

const MODULE: URL = new URL("../support/mortal-worker.js", import.meta.url);

test("`WorkerPool` runs tasks and answers each with its own value", async () => {
  const pool = new WorkerPool(MODULE, { size: 2 });
  const values = await Promise.all(Array.from({ length: 50 }, (_, value) => pool.run<number>("echo", value)));
  assert.deepEqual(values, [...values.keys()]);
  await pool.close();
});

test("`WorkerPool` hands on errors with code, detail and cause", async () => {
  const pool = new WorkerPool(MODULE, { size: 1 });
  const error = await pool.run("fail", undefined).catch((thrown: unknown) => thrown);
  assert.ok(ShaleError.is(error, "TAR_INVALID"));
  assert.deepEqual(error.detail, { offset: 7 });
  assert.equal((error.cause as NodeJS.ErrnoException).code, "ENOENT");
  await assert.rejects(pool.run("throw", undefined), (thrown) => thrown instanceof Error && !ShaleError.is(thrown));
  await assert.rejects(pool.run("no such handler", undefined));
  assert.equal(await pool.run("echo", 1), 1);
  await pool.close();
});

test("`WorkerPool.warm()` starts workers that do not keep a process alive", async () => {
  const pool = new URL("../../src/system/worker-pool.js", import.meta.url).href;
  const program = `import { WorkerPool } from "${pool}"; new WorkerPool(new URL("${MODULE.href}"), { size: 2 }).warm();`;
  await run(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
});

test("`WorkerPool` outlives a worker whose heap is full", async () => {
  // with the usual heap of some GiB it would take a while
  const child = new URL("../support/hoarding-child.js", import.meta.url).pathname;
  const said = await run(process.execPath, ["--max-old-space-size=48", child], { env: {} });
  assert.deepEqual(JSON.parse(said.toString()), { code: "WORKER_FAILED", echo: 7 });
});

test("`WorkerPool` fails every task of a worker that dies with WORKER_FAILED, says so once, and gives the next task a new worker", async () => {
  let lost = 0;
  const pool = new WorkerPool(MODULE, { size: 1, onLost: () => lost++ });
  const results = await Promise.allSettled([pool.run("die", undefined), pool.run("echo", 1), pool.run("echo", 2)]);
  for (const result of results) assert.ok(result.status === "rejected" && ShaleError.is(result.reason, "WORKER_FAILED"));
  assert.equal(lost, 1);
  assert.equal(await pool.run("echo", 3), 3);
  await pool.close();
  assert.equal(lost, 1);
  await assert.rejects(pool.run("echo", 4));
});
