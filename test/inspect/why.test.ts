import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { test } from "node:test";
import { ShaleError, type KeepingChain } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";

const NOW = { keepYoungerMs: 0 } as const;

/** Writes a chain as `layer > image > reference`. */
function textOf({ through, reason }: KeepingChain): string {
  return [...through.map(({ kind }) => kind), reason.kind].join(" > ");
}

test("`why()` reports every chain that keeps a reference, image, config, blob, layer, tree, inode or content", async () => {
  await using harness = await startStore({ client: { keepBlobs: true } });
  const common = [{ path: "common", content: "in both" }];
  const first = await harness.pushEntries("first", common, [{ path: "first", content: "1" }]);
  const second = await harness.pushEntries("second", common);
  const image = await harness.pull(first.reference);
  await harness.pull(second.reference);
  const store = await harness.store();
  await store.pin(first.reference);
  const [base, own] = first.image.layers;
  const why = async (object: string): Promise<[string, string[]][]> => {
    const found = await store.why(object, NOW);
    return found.map(({ kind, chains }) => [kind, chains.map(textOf).sort()]);
  };
  const both = ["image > pin", "image > reference", "image > reference"];
  assert.deepEqual(await why(first.reference), [["reference", ["image > pin", "image > reference"]]]);
  assert.deepEqual(await why(image.manifestDigest), [["image", ["pin", "reference"]]]);
  assert.deepEqual(await why(first.image.config.digest), [["config", ["image > pin", "image > reference"]]]);
  assert.deepEqual(await why(base!.digest), [["blob", both]]);
  assert.deepEqual(await why(base!.diffId), [["layer", both]]);
  assert.deepEqual(await why(own!.diffId), [["layer", ["image > pin", "image > reference"]]]);
  assert.deepEqual(await why(basename(image.layers[0]!)), [["tree", both]]);
  const content = createHash("sha256").update("in both").digest("hex");
  assert.deepEqual(await why(`sha256:${content}`), [["chunk", both.map((chain) => `layer > ${chain}`)]]);
  for (const prefix of readdirSync(harness.file("chunks")))
    for (const name of readdirSync(harness.file("chunks", prefix))) {
      const [[kind, chains] = ["", []]] = await why(`chunks/${prefix}/${name}`);
      assert.equal(kind, "inode");
      assert.ok(chains.length === 2 || chains.length === 3);
    }
});

test("`why()` reports leases, handles and young layers, returns nothing for a missing object, and refuses a malformed one", async () => {
  await using harness = await startStore();
  const { reference, image: pushed } = await harness.pushEntries("app", [{ path: "a", content: "a" }]);
  await using image = await (await harness.client()).pull(reference);
  const store = await harness.store();
  await store.lease("sandbox-42", image);
  await store.remove(reference);
  const kinds = async (options = NOW as { keepYoungerMs?: number }): Promise<string[]> =>
    (await store.why(pushed.layers[0]!.diffId, options)).flatMap(({ chains }) => chains.map(({ reason }) => reason.kind));
  assert.deepEqual(await kinds(), ["lease", "handle"]);
  await store.release("sandbox-42");
  await image.close();
  assert.deepEqual(await kinds(), []);
  assert.deepEqual(await kinds({}), ["young"]);
  assert.equal((await store.why(pushed.layers[0]!.diffId, NOW)).length, 1, "it exists, but nothing keeps it");
  assert.deepEqual(await store.why(`sha256:${"0".repeat(64)}`), []);
  assert.deepEqual(await store.why("docker.io/library/absent:1"), []);
  assert.deepEqual(await store.why("a".repeat(26)), []);
  assert.deepEqual(await store.why("a".repeat(32)), []);
  await assert.rejects(store.why("Not A Reference"), (error) => ShaleError.is(error, "REFERENCE_INVALID"));
});
