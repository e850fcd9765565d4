import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { FsckContext, mapInOrder } from "../../src/fsck/fsck-context.ts";
import { parseDiffId } from "../../src/image/digest.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { newSuperblock } from "../../src/store/superblock.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`FsckContext#unlessRemoved()` returns undefined if the layer was removed, retries if it exists again, and throws other errors", async () => {
  await using directory = await temporaryDirectory();
  const layout = new StoreLayout(directory.path);
  const pool = new WorkerPool<FsckContext["pool"] extends WorkerPool<infer Tasks> ? Tasks : never>(new URL("file:///none"), { size: 1 });
  const superblock = newSuperblock("oci", { uid: 0, gid: 0 });
  const context = new FsckContext({ layout, superblock, pool, options: {} });
  const diffId = parseDiffId(`sha256:${"a".repeat(64)}`);
  const missing = Object.assign(new Error("gone"), { code: "ENOENT" });
  assert.equal(await context.unlessRemoved([diffId], () => Promise.reject(missing)), undefined);
  mkdirSync(layout.layer(diffId), { recursive: true });
  let calls = 0;
  assert.equal(await context.unlessRemoved([diffId], () => (++calls < 3 ? Promise.reject(missing) : Promise.resolve(calls))), 3);
  await assert.rejects(
    context.unlessRemoved([diffId], () => Promise.reject(missing)),
    (error) => error === missing,
  );
  const other = new Error("other");
  await assert.rejects(
    context.unlessRemoved([diffId], () => Promise.reject(other)),
    (error) => error === other,
  );
});

test("`mapInOrder()` yields in order, runs no more than `concurrency` at once, and starts nothing after the consumer stops", async () => {
  let [running, most, started] = [0, 0, 0];
  const work = async (item: number): Promise<number> => {
    started++;
    most = Math.max(most, ++running);
    await sleep(item === 0 ? 20 : 1);
    running--;
    return item;
  };
  const items = Array.from({ length: 100 }, (_, item) => item);
  const results: number[] = [];
  for await (const result of mapInOrder(items, { concurrency: 3, signal: undefined }, work)) results.push(result);
  assert.deepEqual([results, most], [items, 3]);
  started = 0;
  for await (const _ of mapInOrder(items, { concurrency: 3, signal: undefined }, work)) break;
  const before = started;
  await sleep(30);
  assert.ok(started === before && started < items.length, `${before} started, then ${started}`);
});

test("`mapInOrder()` throws the signal's reason, and the error of `work` after the results before it", async () => {
  const abort = new AbortController();
  const reason = new Error("enough");
  const run = async (signal: AbortSignal | undefined, work: (item: number) => Promise<number>): Promise<number[]> => {
    const results: number[] = [];
    try {
      for await (const result of mapInOrder([0, 1, 2, 3], { concurrency: 2, signal }, work)) results.push(result);
    } catch (error) {
      assert.equal(error, reason);
    }
    return results;
  };
  assert.deepEqual(await run(undefined, async (item) => (item === 2 ? Promise.reject(reason) : item)), [0, 1]);
  const aborted = await run(abort.signal, async (item) => {
    if (item === 1) abort.abort(reason);
    return item;
  });
  assert.ok(aborted.length < 4, `${aborted.length} results`);
});
