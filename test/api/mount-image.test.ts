import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { mountImage, ShaleError, unmountImage } from "../../src/index.ts";
import { run } from "../support/run.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

/** Makes a store with one image, and a directory to mount it on. */
async function prepare(harness: StoreHarness): Promise<{ reference: string; target: string }> {
  const { reference } = await harness.pushEntries("app", [{ path: "a", content: "lower" }], [{ path: "b", content: "upper" }]);
  await harness.pull(reference);
  const target = join(harness.path, "..", "mounted");
  mkdirSync(target);
  return { reference, target };
}

const NOW = { keepYoungerMs: 0, trees: true } as const;

test("`mountImage()` keeps the image by a lease after it is closed and removed, until `unmountImage()`", async () => {
  await using harness = await startStore();
  const { reference, target } = await prepare(harness);
  const store = await harness.store();
  const image = await store.image(reference);
  const mounted = await mountImage(store, image!, target);
  assert.deepEqual(mounted, { target, lease: `mount:${target}` });
  await image!.close();
  await store.remove(reference);
  assert.deepEqual((await store.gc(NOW)).images, []);
  assert.equal(readFileSync(join(target, "b"), "utf8"), "upper");
  assert.deepEqual(await unmountImage(store, target), { target, unmounted: true, released: true });
  assert.equal((await store.gc(NOW)).images.length, 1);
  await assert.rejects(unmountImage(store, target), (error) => ShaleError.is(error, "MOUNT_FAILED"));
});

test("`unmountImage()` ends the lease of a mount that is gone, and leaves the lease of one that is in use", async () => {
  await using harness = await startStore();
  const { reference, target } = await prepare(harness);
  const store = await harness.store();
  await using image = await store.image(reference);
  await mountImage(store, image!, target);
  await run("umount", [target]);
  assert.deepEqual(await unmountImage(store, target), { target, unmounted: false, released: true });
  await mountImage(store, image!, target, { nosuid: true });
  const before = process.cwd();
  process.chdir(target);
  try {
    await assert.rejects(unmountImage(store, target), (error) => ShaleError.is(error, "MOUNT_FAILED"));
    assert.deepEqual((await store.leases()).length, 1);
  } finally {
    process.chdir(before);
  }
  assert.deepEqual(await unmountImage(store, target, { detach: true }), { target, unmounted: true, released: true });
});

test("`mountImage()` and `unmountImage()` refuse unknown options, and a missing directory", async () => {
  await using harness = await startStore();
  const { reference, target } = await prepare(harness);
  const store = await harness.store();
  await using image = await store.image(reference);
  await assert.rejects(mountImage(store, image!, target, { readonly: true } as object), TypeError);
  await assert.rejects(unmountImage(store, target, { force: true } as object), TypeError);
  for (const failing of [mountImage(store, image!, `${target}-missing`), unmountImage(store, `${target}-missing`)])
    await assert.rejects(failing, (error) => ShaleError.is(error, "MOUNT_FAILED"));
  assert.deepEqual(await store.leases(), []);
});
