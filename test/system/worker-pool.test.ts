import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ShaleError } from "../../src/errors.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import type { TestTaskMap } from "../support/mortal-worker.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MODULE: URL = new URL("../support/mortal-worker.js", import.meta.url);

test("`WorkerPool` runs tasks and answers each with its own value", async () => {
  const pool = new WorkerPool<TestTaskMap>(MODULE, { size: 2 });
  const values = await Promise.all(Array.from({ length: 50 }, (_, value) => pool.run("test/echo", value)));
  assert.deepEqual(values, [...values.keys()]);
  await pool.close();
});

test("`WorkerPool` hands on errors with code, detail and cause", async () => {
  const pool = new WorkerPool<TestTaskMap>(MODULE, { size: 1 });
  const error = await pool.run("test/fail", undefined).catch((thrown: unknown) => thrown);
  assert.ok(ShaleError.is(error, "TAR_INVALID"));
  assert.deepEqual(error.detail, { offset: 7 });
  assert.equal((error.cause as NodeJS.ErrnoException).code, "ENOENT");
  await assert.rejects(pool.run("test/throw", undefined), (thrown) => thrown instanceof Error && !ShaleError.is(thrown));
  await assert.rejects(pool.run("test/no-such-handler", undefined), /no handler for test\/no-such-handler/);
  await assert.rejects(pool.run("no-such-service/echo" as "test/echo", undefined), /no handler for no-such-service/);
  assert.equal(await pool.run("test/echo", 1), 1);
  await pool.close();
});

/** What a program that has a pool prints. A file: workers inherit the options, and do not start with those of `-e`. */
async function runProgram(use: string, module: URL = MODULE): Promise<string> {
  await using directory = await temporaryDirectory();
  const program = join(directory.path, "program.mjs");
  const pool = new URL("../../src/system/worker-pool.js", import.meta.url).href;
  const text = `import { WorkerPool } from "${pool}";
    const pool = new WorkerPool(new URL("${module.href}"), { size: 2, onLost: () => console.log("lost") });
    ${use}`;
  writeFileSync(program, text);
  return (await run(process.execPath, [program], { timeout: 20_000 })).toString();
}

test("`WorkerPool.warm()` starts workers that do not keep a process alive", async () => {
  assert.equal(await runProgram("pool.warm();"), "");
});

test("`WorkerPool.run()` with what cannot be sent does not keep a process alive", async () => {
  const use = 'await pool.run("test/echo", () => {}).catch((error) => console.log(error.name));';
  assert.equal(await runProgram(use), "DataCloneError\n");
});

for (const [how, use] of [
  ["the process ends by itself", ""],
  ["the process is told to end", "process.exit();"],
  ["the pool is closed", "await pool.close();"],
] as const) {
  test(`\`WorkerPool\` cuts no worker short that loads its native modules when ${how}`, async () => {
    const slow = new URL("../support/slow-worker.js", import.meta.url);
    assert.equal(await runProgram(`pool.warm(); ${use}`, slow), "loaded\nloaded\n");
  });
}

test("`WorkerPool.close()` waits for no worker that cannot be loaded", async () => {
  const pool = new WorkerPool(new URL("file:///no/such/worker.js"), { size: 1 });
  pool.warm();
  await pool.close();
});

test("`WorkerPool` outlives a worker whose heap is full", async () => {
  // with the usual heap of some GiB it would take a while
  const child = new URL("../support/hoarding-child.js", import.meta.url).pathname;
  const said = await run(process.execPath, ["--max-old-space-size=48", child], { env: {} });
  assert.deepEqual(JSON.parse(said.toString()), { code: "WORKER_FAILED", echo: 7 });
});

test("`WorkerPool` ends a worker that cannot load a service, and the next task gets a new one", async () => {
  const pool = new WorkerPool<TestTaskMap>(MODULE, { size: 1 });
  const error = await pool.run("unloadable/task", undefined).catch((thrown: unknown) => thrown);
  assert.ok(ShaleError.is(error, "WORKER_FAILED"));
  assert.equal((error.cause as Error).message, "cannot be loaded");
  assert.equal(await pool.run("test/echo", 1), 1);
  await pool.close();
});

test("`WorkerPool.warm()` loads services before the first task", async () => {
  const lost: string[] = [];
  const pool = new WorkerPool<TestTaskMap>(MODULE, { size: 1, onLost: (error) => lost.push((error.cause as Error).message) });
  pool.warm(["test"]);
  assert.equal(await pool.run("test/echo", 1), 1);
  assert.deepEqual(lost, []);
  pool.warm(["unloadable"]);
  await assert.rejects(pool.run("test/echo", 1), (thrown) => ShaleError.is(thrown, "WORKER_FAILED"));
  assert.deepEqual(lost, ["cannot be loaded"]);
  await pool.close();
});

test("`WorkerPool` fails every task of a worker that dies with WORKER_FAILED, says so once, and gives the next task a new worker", async () => {
  let lost = 0;
  const pool = new WorkerPool<TestTaskMap>(MODULE, { size: 1, onLost: () => lost++ });
  const results = await Promise.allSettled([pool.run("test/die", undefined), pool.run("test/echo", 1), pool.run("test/echo", 2)]);
  for (const result of results) assert.ok(result.status === "rejected" && ShaleError.is(result.reason, "WORKER_FAILED"));
  assert.equal(lost, 1);
  assert.equal(await pool.run("test/echo", 3), 3);
  await pool.close();
  assert.equal(lost, 1);
  await assert.rejects(pool.run("test/echo", 4));
});
