import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { test } from "node:test";
import { fsckExitStatus, refetchImages, Registry, ShaleError, type RefetchedImage } from "../../src/index.ts";
import { damagedStore, kindsOf, type DamagedStore } from "../fsck/damaged-store.ts";

/** Deletes a chunk of the base layer everywhere and repairs the store, which withdraws the layer. */
async function withdrawBase(store: DamagedStore): Promise<void> {
  rmSync(store.chunk("alone"));
  rmSync(store.file("alone"));
  assert.equal(fsckExitStatus(await store.check({ repair: true })), 1);
}

async function refetchAll(registry: Registry, signal?: AbortSignal): Promise<RefetchedImage[]> {
  const results: RefetchedImage[] = [];
  for await (const result of refetchImages(registry, { signal })) results.push(result);
  return results;
}

test("`refetchImages()` fetches the layers that a repair withdrew, and nothing for complete images", async () => {
  await using store = await damagedStore();
  await using registry = new Registry({ store: store.local.store });
  assert.deepEqual(await refetchAll(registry), []);
  await withdrawBase(store);
  const [first, ...others] = await refetchAll(registry);
  assert.deepEqual([first?.reference, first?.fetchedLayers, first?.layers, first?.error], [store.local.reference("one"), 1, 1, undefined]);
  assert.deepEqual(others, [], "both images have the layer: the first pull completes the second image");
  assert.deepEqual(await refetchAll(registry), []);
  assert.deepEqual(kindsOf(await store.check({ level: "full" })), []);
  const { layers } = await store.local.pullAgain("two", { pullPolicy: "never" });
  assert.equal(readFileSync(`${layers[0]}/alone`, "utf8"), "nowhere else\n");
});

test("`refetchImages()` reports an image that cannot be fetched, and continues with the next one", async () => {
  await using store = await damagedStore();
  await using registry = new Registry({ store: store.local.store });
  await withdrawBase(store);
  const [, layout = ""] = store.local.reference("one").split(":");
  rmSync(layout, { recursive: true });
  const [failed, complete] = await refetchAll(registry);
  assert.equal(failed?.reference, store.local.reference("one"));
  assert.ok(ShaleError.is(failed.error), String(failed.error));
  assert.deepEqual([complete?.reference, complete?.fetchedLayers, complete?.error], [store.local.reference("two"), 1, undefined]);
});

test("`refetchImages()` throws the signal's reason", async () => {
  await using store = await damagedStore();
  await using registry = new Registry({ store: store.local.store });
  await withdrawBase(store);
  const reason = new Error("enough");
  await assert.rejects(refetchAll(registry, AbortSignal.abort(reason)), reason);
});
