/** `requireProof`: what the store has is given to no image whose repository has not shown that it has it, too. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fsck } from "../../src/index.ts";
import { buildImage, writeLayout, type TestImage, type TestLayer } from "../../src/testing/index.ts";
import { layer, startStore, type StoreHarness } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const SECRET: TestLayer = await layer([{ path: "secret", content: randomBytes(700_000) }], { compression: "gzip" });
const BASE: TestLayer = await layer([{ path: "base", content: "base\n" }], { compression: "zstd" });
const PROOF = { requireProof: true, materialize: "eager" } as const;

async function startShared(): Promise<StoreHarness & { victim: string }> {
  const harness = await startStore({ store: { requireProof: true } });
  const { reference } = harness.push("victim/app", [BASE, SECRET]);
  await harness.pull(reference);
  return Object.assign(harness, { victim: reference });
}

/** The image of a repository that has not got the blob. */
function pushNamingOnly(harness: StoreHarness): { reference: string; image: TestImage } {
  const pushed = harness.push("evil/app", [BASE, SECRET], { config: { Cmd: ["cat", "/secret"] } });
  harness.registry.misbehave({
    match: new RegExp(`GET /v2/evil/.*${SECRET.digest}`),
    times: 100,
    action: { kind: "respond", status: 404 },
  });
  return pushed;
}

const blobBytes = (...layers: readonly TestLayer[]): number => layers.reduce((sum, { size }) => sum + size, 0);

test("`pull()` with `requireProof` does not give a layer of the store to who only knows its digests", async () => {
  await using harness = await startShared();
  const { reference } = pushNamingOnly(harness);
  await assert.rejects(harness.pull(reference), { code: "BLOB_NOT_FOUND" });
  await assert.rejects(harness.pull(reference, { pullPolicy: "never" }), { code: "NOT_CACHED" });
  assert.equal(await (await harness.store()).image(reference), undefined);
  assert.deepEqual(harness.staged(), []);
});

test("`pull()` without `requireProof` shares layers by diff ID, as SECURITY.md says", async () => {
  await using harness = await startStore();
  await harness.pull(harness.push("victim/app", [BASE, SECRET]).reference);
  const { stats } = await harness.pull(pushNamingOnly(harness).reference);
  assert.equal(stats.downloadedBytes, 0);
});

test("`pull()` with `requireProof` downloads what the store has once for each repository, and makes nothing of it", async () => {
  await using harness = await startShared();
  const { reference } = harness.push("other/app", [BASE, SECRET], { config: { Cmd: ["sh"] } });
  const before = harness.list().filter((line) => line.startsWith("layers/") || line.startsWith("chunks/"));
  const { events, image } = await harness.watch(reference);
  assert.equal(image?.cached, false);
  assert.equal(image.stats.downloadedBytes, blobBytes(BASE, SECRET));
  assert.deepEqual([image.stats.ingestedLayers, image.stats.newChunks], [0, 0]);
  assert.deepEqual(
    harness.list().filter((line) => line.startsWith("layers/") || line.startsWith("chunks/")),
    before,
  );
  const kinds = events.flatMap((event) =>
    "index" in event && event.index === 1 && event.kind !== "download-advanced" ? [event.kind] : [],
  );
  assert.deepEqual(kinds, ["download-started", "serving", "download-complete", "layer-skipped", "tree-skipped"]);
  const requests = harness.registry.requests.length;
  for (const policy of ["if-missing", "never"] as const) assert.equal((await harness.pull(reference, { pullPolicy: policy })).cached, true);
  assert.equal(harness.registry.requests.length, requests);
  await harness.reopen();
  assert.equal((await harness.pull(reference, { pullPolicy: "always" })).cached, true);
  assert.equal(harness.registry.requests.length, requests + 1);
});

test("`pull()` with `requireProof` takes a further image of the same repository without a download", async () => {
  await using harness = await startShared();
  const { reference } = harness.push("victim/app", [SECRET], { config: { Cmd: ["true"] } });
  const { stats, cached } = await harness.pull(reference, { pullPolicy: "always" });
  assert.equal(stats.downloadedBytes, 0);
  // its config is a new one
  assert.equal(cached, false);
});

test("`pull()` with `requireProof` fetches a config that another repository brought", async () => {
  await using harness = await startShared();
  const { reference, image } = harness.push("evil/app", [BASE, SECRET]);
  harness.registry.misbehave({ match: new RegExp(`/evil/.*${image.config.digest}`), times: 9, action: { kind: "respond", status: 404 } });
  await assert.rejects(harness.pull(reference), { code: "BLOB_NOT_FOUND" });
});

for (const [what, damage, code] of [
  ["flipped", { kind: "flip", at: 5000 }, "DIGEST_MISMATCH"],
  ["cut short", { kind: "respond", status: 200, body: "short" }, "SIZE_MISMATCH"],
] as const) {
  test(`\`pull()\` with \`requireProof\` refuses a ${what} blob, and asks for it once more`, async () => {
    await using harness = await startShared();
    const { reference } = harness.push("other/app", [SECRET], { config: { Cmd: [what] } });
    const match = new RegExp(`GET /v2/other/.*${SECRET.digest}`);
    harness.registry.misbehave({ match, times: 2, action: damage });
    await assert.rejects(harness.pull(reference), { code });
    await assert.rejects(harness.pull(reference, { pullPolicy: "never" }), { code: "NOT_CACHED" });
    harness.registry.misbehave({ match, times: 1, action: damage });
    const before = harness.registry.requestsTo(match).length;
    await harness.pull(reference);
    assert.equal(harness.registry.requestsTo(match).length, before + 2);
    assert.deepEqual(harness.staged(), []);
  });
}

test("`pull()` with `requireProof` refuses a blob that is right and unpacks to another layer", async () => {
  await using harness = await startShared();
  // the manifest names a blob of its own maker's, the config a diff ID of another's
  const own = await layer([{ path: "own", content: "own\n" }]);
  const { reference } = harness.push("evil/app", [{ ...own, diffId: SECRET.diffId }]);
  await assert.rejects(harness.pull(reference), {
    code: "DIGEST_MISMATCH",
    detail: { what: "diff ID", expected: SECRET.diffId, actual: own.diffId },
  });
  await assert.rejects(harness.pull(reference, { pullPolicy: "never" }), { code: "NOT_CACHED" });
});

test("`pull()` with `requireProof` refuses a bomb where a layer of the store was expected", async () => {
  await using harness = await startStore({ store: { requireProof: true }, client: { limits: { layerBytes: 1 << 20 } } });
  await harness.pull(harness.push("victim/app", [SECRET]).reference);
  const bomb = await layer([{ path: "zeros", content: Buffer.alloc(8 << 20) }], { compression: "zstd" });
  const { reference } = harness.push("evil/app", [{ ...bomb, diffId: SECRET.diffId }]);
  await assert.rejects(harness.pull(reference), { code: "LIMIT_LAYER_BYTES" });
});

test("`pull()` with `requireProof` takes neither what another repository began to download nor a blob that was kept", async () => {
  await using harness = await startStore({ store: { requireProof: true }, client: { keepBlobs: true } });
  const content = SECRET.content as Uint8Array;
  const name = SECRET.digest.replace(":", "-");
  for (const path of [harness.file("staging/downloads", name), harness.file("blobs", name)]) {
    await harness.store();
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
  }
  const { reference } = pushNamingOnly(harness);
  await assert.rejects(harness.pull(reference), { code: "BLOB_NOT_FOUND" });
  const { stats } = await harness.pull(harness.push("other/app", [SECRET]).reference);
  assert.deepEqual([stats.downloadedBytes, stats.resumedBytes], [SECRET.size, 0]);
});

test("`pull()` may ask for proof where the store does not", async () => {
  await using harness = await startStore();
  await harness.pull(harness.push("victim/app", [BASE, SECRET]).reference);
  const { reference } = harness.push("other/app", [BASE, SECRET], { config: { Cmd: ["sh"] } });
  assert.equal((await harness.pull(reference)).stats.downloadedBytes, 0);
  await assert.rejects(harness.pull(reference, { ...PROOF, pullPolicy: "never" }), { code: "NOT_CACHED" });
  assert.equal((await harness.pull(reference, PROOF)).stats.downloadedBytes, blobBytes(BASE, SECRET));
  assert.equal((await harness.pull(reference, { ...PROOF, pullPolicy: "never" })).cached, true);
});

test("`pull()` with `requireProof` waits for who ingests a layer, and then proves it", async () => {
  await using harness = await startStore({ store: { requireProof: true } });
  const one = harness.push("one/app", [SECRET], { config: { Cmd: ["1"] } });
  const two = harness.push("two/app", [SECRET], { config: { Cmd: ["2"] } });
  const images = await Promise.all([one, two].map(({ reference }) => harness.pull(reference)));
  assert.deepEqual(
    images.map(({ stats }) => stats.downloadedBytes),
    [SECRET.size, SECRET.size],
  );
  assert.equal(
    images.reduce((sum, { stats }) => sum + stats.ingestedLayers, 0),
    1,
  );
});

test("`pull()` with `requireProof` wants it of image layouts, too, each for itself", async () => {
  await using harness = await startShared();
  await using directory = await temporaryDirectory();
  const image = buildImage({ layers: [SECRET] });
  for (const name of ["one", "two"]) {
    const path = join(directory.path, name);
    await writeLayout(path, { v1: image });
    const { stats } = await harness.pull(`oci:${path}:v1`);
    assert.deepEqual([stats.downloadedBytes, stats.ingestedLayers], [SECRET.size, 0]);
    assert.equal((await harness.pull(`oci:${path}:v1`)).cached, true);
    rmSync(join(path, "blobs/sha256", SECRET.digest.slice(7)));
    assert.equal((await harness.pull(`oci:${path}:v1`, { pullPolicy: "always" })).cached, true);
  }
});

test("`fsck()` finds nothing wrong in a store with proofs", async () => {
  await using harness = await startShared();
  const found: string[] = [];
  for await (const { kind, severity } of fsck(await harness.store())) if (severity !== "note") found.push(kind);
  assert.deepEqual(found, []);
});

test("`gc()` removes proofs with what they prove", async () => {
  await using harness = await startShared();
  const proofs = harness.file("images/proofs");
  assert.equal(statSync(proofs).mode & 0o777, 0o700);
  assert.equal(readdirSync(proofs).length, 3);
  const store = await harness.store();
  await store.gc({ keepYoungerMs: 0 });
  assert.equal(readdirSync(proofs).length, 3);
  await store.remove(harness.victim);
  await store.gc({ keepYoungerMs: 0 });
  assert.deepEqual(readdirSync(proofs), []);
});
