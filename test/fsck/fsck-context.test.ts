import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { test } from "node:test";
import { FsckContext } from "../../src/fsck/fsck-context.ts";
import { parseDiffId } from "../../src/image/digest.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { newSuperblock } from "../../src/store/superblock.ts";
import { WorkerPool } from "../../src/system/worker-pool.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`FsckContext#whileThere()` takes a failure for no answer when the layer is gone, tries again when it is back, else throws", async () => {
  await using directory = await temporaryDirectory();
  const layout = new StoreLayout(directory.path);
  const pool = new WorkerPool(new URL("file:///none"), { size: 1 });
  const superblock = newSuperblock("oci", { uid: 0, gid: 0 });
  const context = new FsckContext({ layout, superblock, pool, options: {} });
  const diffId = parseDiffId(`sha256:${"a".repeat(64)}`);
  const missing = Object.assign(new Error("gone"), { code: "ENOENT" });
  assert.equal(await context.whileThere([diffId], () => Promise.reject(missing)), undefined);
  mkdirSync(layout.layer(diffId), { recursive: true });
  let calls = 0;
  assert.equal(await context.whileThere([diffId], () => (++calls < 3 ? Promise.reject(missing) : Promise.resolve(calls))), 3);
  await assert.rejects(
    context.whileThere([diffId], () => Promise.reject(missing)),
    (error) => error === missing,
  );
  const other = new Error("other");
  await assert.rejects(
    context.whileThere([diffId], () => Promise.reject(other)),
    (error) => error === other,
  );
});
