/** Downloads that were cut off, kept blobs, and what the events say of the network. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestLayer } from "../../src/testing/index.ts";
import { sweepDownloads } from "../../src/store/downloads.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { layer, startStore, type StoreHarness } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const CUT = 400_000;
const CONTENT: Buffer = randomBytes(1_000_000);

async function startOne(): Promise<{ harness: StoreHarness; reference: string; blob: TestLayer; spool: string }> {
  const harness = await startStore();
  const blob = await layer([{ path: "file", content: CONTENT }], { compression: "none" });
  const { reference } = harness.push("some/image", [blob]);
  await harness.store();
  return { harness, reference, blob, spool: harness.file("staging", "downloads", blob.digest.replace(":", "-")) };
}

/** Leaves the first 400,000 bytes of the layer behind. */
async function breakOff(harness: StoreHarness, reference: string, { digest }: TestLayer): Promise<void> {
  const match = new RegExp(digest);
  harness.registry.misbehave({ match, action: { kind: "cut", after: CUT } }, { match, times: 5, action: { kind: "drop" } });
  await assert.rejects(harness.pull(reference), { code: "REGISTRY_UNREACHABLE" });
  await harness.reopen();
  harness.registry.requests.length = 0;
}

/** Of the layer's blob, since the last break. */
function sentBytes({ registry }: StoreHarness, { digest }: TestLayer): number {
  return registry.requestsTo(new RegExp(digest)).reduce((sum, { bytes }) => sum + bytes, 0);
}

test("`pull()` fetches only the rest of a layer whose download broke off in another handle", async () => {
  const { harness, reference, blob, spool } = await startOne();
  await using _ = harness;
  await breakOff(harness, reference, blob);
  const { events, image } = await harness.watch(reference);
  assert.equal(sentBytes(harness, blob), blob.size - CUT);
  assert.deepEqual([image?.stats.downloadedBytes, image?.stats.resumedBytes], [blob.size - CUT, CUT]);
  assert.ok(events.some((event) => event.kind === "download-resumed" && event.bytes === CUT));
  assert.ok(readFileSync(join(image!.layers[0]!, "file")).equals(CONTENT));
  assert.ok(!existsSync(spool));
});

test("`pull()` continues a download when the server ignores Range, and takes no byte twice", async () => {
  const { harness, reference, blob } = await startOne();
  await using _ = harness;
  await breakOff(harness, reference, blob);
  harness.registry.misbehave({ match: new RegExp(blob.digest), action: { kind: "ignore-range" } });
  const image = await harness.pull(reference);
  assert.equal(sentBytes(harness, blob), blob.size);
  assert.ok(readFileSync(join(image.layers[0]!, "file")).equals(CONTENT));
});

test("`pull()` throws a wrong beginning away and fetches the layer once from its first byte", async () => {
  const { harness, reference, blob, spool } = await startOne();
  await using _ = harness;
  await breakOff(harness, reference, blob);
  const wrong = readFileSync(spool);
  wrong[1000] = wrong[1000]! ^ 1;
  writeFileSync(spool, wrong);
  const { events, image } = await harness.watch(reference);
  assert.ok(events.some((event) => event.kind === "warning" && event.code === "DIGEST_MISMATCH"));
  assert.equal(sentBytes(harness, blob), blob.size - CUT + blob.size);
  assert.ok(readFileSync(join(image!.layers[0]!, "file")).equals(CONTENT));
  assert.ok(!existsSync(spool));
});

for (const [what, bytes] of [
  ["longer than the blob", 2_000_000],
  ["empty", 0],
] as const) {
  test(`\`pull()\` begins anew where a broken-off download is ${what}`, async () => {
    const { harness, reference, blob, spool } = await startOne();
    await using _ = harness;
    mkdirSync(harness.file("staging", "downloads"), { recursive: true });
    writeFileSync(spool, Buffer.alloc(bytes));
    const { stats } = await harness.pull(reference);
    assert.deepEqual([stats.downloadedBytes, stats.resumedBytes], [blob.size, 0]);
  });
}

test("`pull()` removes the download of a layer that is in the store, as a kill right after publishing leaves it", async () => {
  const { harness, reference, blob, spool } = await startOne();
  await using _ = harness;
  await harness.pull(reference);
  for (const held of [true, false]) {
    const other = harness.push(`some/other-${held}`, [blob, await layer([{ path: `${held}`, content: "x" }])]);
    mkdirSync(harness.file("staging", "downloads"), { recursive: true });
    writeFileSync(spool, blob.content as Uint8Array);
    using lock = held ? FileLock.try(spool) : undefined;
    assert.equal(lock !== undefined, held);
    await harness.pull(other.reference);
    assert.equal(existsSync(spool), held);
  }
  assert.equal(harness.registry.requestsTo(new RegExp(blob.digest)).length, 1);
});

test("`pull()` fetches nothing when the whole blob was there already", async () => {
  const { harness, reference, blob, spool } = await startOne();
  await using _ = harness;
  mkdirSync(harness.file("staging", "downloads"), { recursive: true });
  writeFileSync(spool, blob.content as Uint8Array);
  const { stats } = await harness.pull(reference);
  assert.deepEqual([stats.downloadedBytes, stats.resumedBytes], [0, blob.size]);
  assert.equal(sentBytes(harness, blob), 0);
});

test("`keepBlobs` keeps each blob as it came, and a later store without the layer needs no registry for it", async () => {
  await using harness = await startStore({ client: { keepBlobs: true } });
  const layers = [await layer([{ path: "small", content: "x" }]), await layer([{ path: "file", content: CONTENT }])];
  const { reference } = harness.push("kept/image", layers);
  await harness.pull(reference);
  const kept = layers.map(({ digest }) => harness.file("blobs", digest.replace(":", "-")));
  for (const [index, path] of kept.entries()) assert.ok(readFileSync(path).equals(layers[index]!.content as Uint8Array));
  await harness.reopen();
  const store = await harness.store();
  for (const name of ["layers", "trees"])
    for (const entry of readdirSync(join(store.path, name))) rmSync(join(store.path, name, entry), { recursive: true });
  harness.registry.requests.length = 0;
  const { stats } = await harness.pull(reference);
  assert.deepEqual([stats.downloadedBytes, stats.resumedBytes], [0, layers[0]!.size + layers[1]!.size]);
  assert.equal(harness.blobRequests(), 0);
});

test("`keepBlobs` keeps a blob that came wrong the first time and right the second", async () => {
  await using harness = await startStore({ client: { keepBlobs: true } });
  const { reference, image } = await harness.pushEntries("some/image", [{ path: "file", content: randomBytes(300_000) }]);
  const { digest, content } = image.layers[0]!;
  harness.registry.misbehave({ match: new RegExp(digest), times: 1, action: { kind: "flip", at: 100_000 } });
  assert.equal((await harness.watch(reference)).error, undefined);
  assert.ok(readFileSync(harness.file("blobs", digest.replace(":", "-"))).equals(content as Uint8Array));
  assert.deepEqual(readdirSync(harness.file("staging", "downloads")), []);
});

test("`keepBlobs` does not keep a kept blob that is wrong", async () => {
  await using harness = await startStore({ client: { keepBlobs: true } });
  const blob = await layer([{ path: "file", content: CONTENT }]);
  const { reference } = harness.push("kept/image", [blob]);
  await harness.store();
  const path = harness.file("blobs", blob.digest.replace(":", "-"));
  mkdirSync(harness.file("blobs"));
  writeFileSync(path, Buffer.alloc(blob.size));
  const { stats } = await harness.pull(reference);
  assert.equal(stats.downloadedBytes, blob.size);
  assert.equal(existsSync(path), false);
});

test("`pull()` tells of retries and of where a layer comes from", async () => {
  const { harness, reference, blob } = await startOne();
  await using _ = harness;
  const match = new RegExp(blob.digest);
  harness.registry.misbehave({ match: /manifests/, action: { kind: "respond", status: 503 } });
  harness.registry.misbehave({ match, action: { kind: "drop" } }, { match, action: { kind: "cut", after: CUT } });
  const { events } = await harness.watch(reference);
  assert.ok(events.some((event) => event.kind === "warning" && event.code === "REGISTRY_ERROR"));
  const retries = events.flatMap((event) => (event.kind === "retrying" ? [event.code] : []));
  assert.ok(retries.length > 0 && retries.every((code) => code === "REGISTRY_UNREACHABLE"), retries.join());
  assert.ok(events.some((event) => event.kind === "serving" && event.host === harness.registry.host && !event.mirror));
});

test("`sweepDownloads()` removes what nobody came back for in a day, and nothing that is younger", async () => {
  await using directory = await temporaryDirectory();
  const layout = new StoreLayout(directory.path);
  mkdirSync(layout.downloads, { recursive: true });
  const [old, young] = ["old", "young"].map((name) => join(layout.downloads, name));
  for (const path of [old!, young!]) writeFileSync(path, "x");
  const yesterday = Date.now() / 1000 - 25 * 3600;
  utimesSync(old!, yesterday, yesterday);
  sweepDownloads(layout);
  assert.deepEqual([existsSync(old!), existsSync(young!)], [false, true]);
  sweepDownloads(new StoreLayout(join(directory.path, "absent")));
});
