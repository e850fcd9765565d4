import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unlinkInParallel } from "../../src/gc/unlink-in-parallel.ts";
import { isErrno } from "../../src/errors.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import type { GcTaskMap } from "../../src/gc/gc-tasks.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MODULE = new URL("../../src/session/worker.js", import.meta.url);
const NEVER = Number.POSITIVE_INFINITY;

function files(directory: string, count: number): string[] {
  const paths = Array.from({ length: count }, (_, index) => join(directory, `${index}`));
  for (const path of paths) writeFileSync(path, "");
  return paths;
}

for (const count of [0, 1, 100, 1000]) {
  test(`\`unlinkInParallel()\` removes ${count} files, and ignores missing ones`, async () => {
    await using at = await temporaryDirectory();
    const pool = new WorkerPool<GcTaskMap>(MODULE, { size: 2 });
    const paths = files(at.path, count);
    assert.equal(await unlinkInParallel(pool, paths, NEVER), count);
    assert.deepEqual(readdirSync(at.path), []);
    assert.equal(await unlinkInParallel(pool, paths, NEVER), count);
    await pool.close();
  });
}

test("`unlinkInParallel()` stops when time is up, and returns how many files it removed", async () => {
  await using at = await temporaryDirectory();
  const pool = new WorkerPool<GcTaskMap>(MODULE, { size: 2 });
  const paths = files(at.path, 1000);
  const unlinked = await unlinkInParallel(pool, paths, 0);
  assert.ok(unlinked > 0 && unlinked < 1000, `${unlinked}`);
  assert.deepEqual(new Set(readdirSync(at.path)), new Set(paths.slice(unlinked).map((path) => path.slice(at.path.length + 1))));
  await pool.close();
});

test("`unlinkInParallel()` throws the error of a failed unlink, in whichever thread it failed", async () => {
  await using at = await temporaryDirectory();
  const pool = new WorkerPool<GcTaskMap>(MODULE, { size: 2 });
  const paths = files(at.path, 1000);
  mkdirSync(join(at.path, "directory"));
  await assert.rejects(unlinkInParallel(pool, [...paths, join(at.path, "directory")], NEVER), (error) => isErrno(error, "EISDIR", "EPERM"));
  await pool.close();
});

test("`unlinkInParallel()` works without workers that died", async () => {
  await using at = await temporaryDirectory();
  const pool = new WorkerPool<GcTaskMap>(new URL("data:text/javascript,process.exit(1)"), { size: 2 });
  assert.equal(await unlinkInParallel(pool, files(at.path, 1000), NEVER), 1000);
  assert.deepEqual(readdirSync(at.path), []);
});
