import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { unlinkTogether } from "../../src/gc/unlink-in-parallel.ts";
import { isErrno } from "../../src/errors.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MODULE = new URL("../../src/session/worker.js", import.meta.url);
const NEVER = Number.POSITIVE_INFINITY;

function files(directory: string, count: number): string[] {
  const paths = Array.from({ length: count }, (_, index) => join(directory, `${index}`));
  for (const path of paths) writeFileSync(path, "");
  return paths;
}

for (const count of [0, 1, 100, 1000]) {
  test(`\`unlinkTogether()\` removes ${count} files, and does not mind those that were gone`, async () => {
    await using at = await temporaryDirectory();
    const pool = new WorkerPool(MODULE, { size: 2 });
    const paths = files(at.path, count);
    assert.equal(await unlinkTogether(pool, paths, NEVER), count);
    assert.deepEqual(readdirSync(at.path), []);
    assert.equal(await unlinkTogether(pool, paths, NEVER), count);
    await pool.close();
  });
}

test("`unlinkTogether()` stops when time is up, and tells how far it came", async () => {
  await using at = await temporaryDirectory();
  const pool = new WorkerPool(MODULE, { size: 2 });
  const paths = files(at.path, 1000);
  const gone = await unlinkTogether(pool, paths, 0);
  assert.ok(gone > 0 && gone < 1000, `${gone}`);
  assert.deepEqual(new Set(readdirSync(at.path)), new Set(paths.slice(gone).map((path) => path.slice(at.path.length + 1))));
  await pool.close();
});

test("`unlinkTogether()` fails with what kept a file from going, whoever met it", async () => {
  await using at = await temporaryDirectory();
  const pool = new WorkerPool(MODULE, { size: 2 });
  const paths = files(at.path, 1000);
  mkdirSync(join(at.path, "directory"));
  await assert.rejects(unlinkTogether(pool, [...paths, join(at.path, "directory")], NEVER), (error) => isErrno(error, "EISDIR", "EPERM"));
  await pool.close();
});

test("`unlinkTogether()` does without workers that have died", async () => {
  await using at = await temporaryDirectory();
  const pool = new WorkerPool(new URL("data:text/javascript,process.exit(1)"), { size: 2 });
  assert.equal(await unlinkTogether(pool, files(at.path, 1000), NEVER), 1000);
  assert.deepEqual(readdirSync(at.path), []);
});
