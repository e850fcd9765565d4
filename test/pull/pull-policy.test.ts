/** Policies, force, lazy, the index, and what `cached` means. */
import assert from "node:assert/strict";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Sidecar } from "../../format/index.ts";
import { ShaleError, type ProgressEvent, type PullOptions } from "../../src/index.ts";
import { buildImage, buildLayer } from "../../src/testing/index.ts";
import { listFiles, startStore } from "../support/store-harness.ts";

const ENTRIES = [
  [
    { path: "etc/motd", content: "hello\n" },
    { path: "bin/sh", content: "program", mode: 0o755 },
  ],
  [{ path: "etc/.wh.motd" }, { path: "etc/new", content: "hello\n" }],
];

interface Row {
  readonly pullPolicy: NonNullable<PullOptions["pullPolicy"]>;
  readonly force: boolean;
  /** What the first pull, into an empty store, does. */
  readonly empty: "fetches" | "NOT_CACHED";
  /** What a pull of the image does once the store has it. */
  readonly present: { readonly cached: boolean; readonly requests: number; readonly blobs: number } | "NOT_CACHED";
}

/** `blobs` counts the config and two layers. */
const ROWS: readonly Row[] = [
  { pullPolicy: "if-missing", force: false, empty: "fetches", present: { cached: true, requests: 0, blobs: 0 } },
  { pullPolicy: "if-missing", force: true, empty: "fetches", present: { cached: false, requests: 4, blobs: 3 } },
  { pullPolicy: "always", force: false, empty: "fetches", present: { cached: true, requests: 1, blobs: 0 } },
  { pullPolicy: "always", force: true, empty: "fetches", present: { cached: false, requests: 4, blobs: 3 } },
  { pullPolicy: "never", force: false, empty: "NOT_CACHED", present: { cached: true, requests: 0, blobs: 0 } },
  { pullPolicy: "never", force: true, empty: "NOT_CACHED", present: "NOT_CACHED" },
];

const FORMS = [
  { materialize: "eager", buildIndex: true },
  { materialize: "eager", buildIndex: false },
  { materialize: "lazy", buildIndex: true },
  { materialize: "lazy", buildIndex: false },
] as const;

const notCached = (error: unknown): boolean => ShaleError.is(error, "NOT_CACHED");

for (const { empty, present, form, ...policy } of ROWS.flatMap((row) => FORMS.map((form) => ({ ...row, form })))) {
  const options: PullOptions = { ...policy, ...form };
  test(`\`pull(${JSON.stringify(options)})\` into an empty store, then again by another handle`, async () => {
    await using harness = await startStore({ store: { workers: 1 } });
    const { reference, image: pushed } = await harness.pushEntries("some/image", ...ENTRIES);
    if (empty === "NOT_CACHED") {
      await assert.rejects(harness.pull(reference, options), notCached);
      assert.equal(harness.registry.requests.length, 0);
      await harness.pull(reference);
    }
    if (present === "NOT_CACHED") {
      await assert.rejects(harness.pull(reference, options), notCached);
      return;
    }
    const first = await harness.pull(reference, options);
    assert.equal(first.cached, empty === "NOT_CACHED");
    assert.equal(first.manifestDigest, pushed.manifest.digest);
    if (empty === "fetches")
      assert.equal(
        first.layers.some((path) => existsSync(path)),
        form.materialize === "eager",
      );
    const before = { requests: harness.registry.requests.length, blobs: harness.blobRequests() };
    await harness.reopen();
    const again = await harness.pull(reference, options);
    assert.deepEqual(again.layers, first.layers);
    assert.deepEqual(again.config, first.config);
    const [requests, blobs] = [harness.registry.requests.length - before.requests, harness.blobRequests() - before.blobs];
    assert.deepEqual({ cached: again.cached, requests, blobs }, present);
    await harness.reopen();
    await using found = await (await harness.store()).image(reference);
    assert.deepEqual(found?.layers, first.layers);
    assert.ok(found.layers.every((path) => existsSync(path)));
    using sidecar = await Sidecar.openFile(harness.file("layers", pushed.layers[0]!.diffId.replace(":", "-"), "sidecar"));
    // with `never`, the pull before it made the index
    assert.equal(sidecar.indexed, form.buildIndex || empty === "NOT_CACHED");
  });
}

test("A lazy image's layers are there once `materialize()` has resolved, also in part and again", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const { reference } = await harness.pushEntries("lazy/image", ...ENTRIES);
  const image = await (await harness.client()).pull(reference, { materialize: "lazy" });
  await assert.rejects(image.materialize({ signal: AbortSignal.abort(new Error("not now")) }), /not now/);
  await Promise.all([image.materialize(), image.materialize()]);
  assert.equal(readFileSync(join(image.layers[1]!, "etc/new"), "utf8"), "hello\n");
  await image.close();
});

test("`materialize()` reports to its own `onProgress`, else to that of the pull", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("lazy/progress", ...ENTRIES);
  const trees = ({ kind }: ProgressEvent): boolean => kind === "tree-complete";
  const [ofPull, own]: [ProgressEvent[], ProgressEvent[]] = [[], []];
  await using image = await (await harness.client()).pull(reference, { materialize: "lazy", onProgress: (event) => ofPull.push(event) });
  await image.materialize({ onProgress: (event) => own.push(event) });
  assert.deepEqual([ofPull.filter(trees).length, own.filter(trees).length], [0, ENTRIES.length]);
  await image.dematerialize();
  await image.materialize();
  assert.deepEqual([ofPull.filter(trees).length, own.filter(trees).length], [ENTRIES.length, ENTRIES.length]);
  await assert.rejects(image.materialize({ onProgress: 1 as never }), { name: "TypeError", message: /onProgress is 1/ });
});

test("`pull()` with `always` notices a moved tag and fetches only the layer that is new", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const layers = await Promise.all(ENTRIES.map((entries) => buildLayer(entries)));
  const first = harness.push("moving/tag", layers);
  await harness.pull(first.reference);
  const extra = await buildLayer([{ path: "third", content: "3" }]);
  const second = buildImage({ layers: [...layers, extra] });
  harness.registry.push("moving/tag", "latest", second);
  assert.equal((await harness.pull(first.reference)).manifestDigest, first.image.manifest.digest);
  const blobs = harness.blobRequests();
  const image = await harness.pull(first.reference, { pullPolicy: "always" });
  assert.deepEqual([image.manifestDigest, image.stats.ingestedLayers, image.cached], [second.manifest.digest, 1, false]);
  assert.equal(harness.blobRequests() - blobs, 2);
  await harness.reopen();
  assert.equal((await harness.pull(first.reference)).manifestDigest, second.manifest.digest);
});

test("`force` keeps the inodes of what is right", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const { reference } = await harness.pushEntries("forced/image", ...ENTRIES);
  const kept = (): string[] => [
    ...listFiles(harness.file("chunks")),
    ...listFiles(harness.file("trees")),
    ...listFiles(harness.file("layers")),
  ];
  const { layers } = await harness.pull(reference);
  const before = kept();
  const inode = lstatSync(layers[0]!).ino;
  assert.equal((await harness.pull(reference, { force: true })).cached, false);
  assert.deepEqual(kept(), before);
  assert.equal(lstatSync(layers[0]!).ino, inode);
  assert.deepEqual(harness.staged(), []);
});

test("A pull with the index, after one without, writes the path index into the sidecars and stays cached", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const { reference, image } = await harness.pushEntries("index/later", ...ENTRIES);
  await harness.pull(reference, { buildIndex: false });
  await harness.reopen();
  const { events, image: again } = await harness.watch(reference);
  assert.equal(again?.cached, true);
  assert.deepEqual(
    events.filter(({ kind }) => kind.startsWith("sidecar")).map(({ kind }) => kind),
    ["sidecar-started", "sidecar-complete", "sidecar-started", "sidecar-complete"],
  );
  for (const { diffId } of image.layers) {
    const sidecar = await Sidecar.openFile(harness.file("layers", diffId.replace(":", "-"), "sidecar"));
    assert.ok(sidecar.indexed);
    sidecar.close();
  }
  const third = await harness.watch(reference);
  assert.deepEqual(
    third.events.map(({ kind }) => kind),
    ["complete"],
  );
});

test("`store.image()` is undefined for what is not there, and for another platform", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const { reference } = await harness.pushEntries("only/here", ...ENTRIES);
  const store = await harness.store();
  assert.equal(await store.image(reference), undefined);
  await harness.pull(reference);
  assert.equal(await store.image(reference, { platform: "linux/s390x" }), undefined);
  assert.equal(await store.image(`${reference}x`), undefined);
  const image = await store.image(reference);
  assert.equal(image?.cached, true);
  await image?.close();
});

test("A layer that a manifest lists three times is fetched once and stands three times in `layers`", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const [a, b] = await Promise.all(ENTRIES.map((entries) => buildLayer(entries)));
  const { reference } = harness.push("thrice/layer", [a!, b!, a!, a!]);
  const { events, image } = await harness.watch(reference);
  assert.equal(image?.layers.length, 4);
  assert.equal(harness.blobRequests(), 3);
  const ended = new Set(
    events
      .filter(({ kind }) => kind === "ingest-complete" || kind === "layer-skipped")
      .map((event) => ("index" in event ? event.index : -1)),
  );
  assert.deepEqual([...ended].sort(), [0, 1, 2, 3]);
});

test("`force` on two images that have their layers in opposite order waits for no lock crosswise", async () => {
  await using harness = await startStore();
  const layers = await Promise.all(["a", "b", "c", "d"].map((name) => buildLayer([{ path: name, content: name }])));
  const references = [layers, layers.toReversed()].map((list, index) => harness.push(`crossed/image-${index}`, list).reference);
  for (const reference of references) await harness.pull(reference);
  for (let round = 0; round < 5; round++) {
    const options = { force: true, signal: AbortSignal.timeout(20_000) };
    const [up, down] = await Promise.all(references.map((reference) => harness.pull(reference, options)));
    assert.deepEqual(up?.layers, down?.layers.toReversed());
  }
});

test("`force` makes the tree of a layer that an image has twice once, and waits for no lock of its own", async () => {
  await using here = await startStore();
  const [base, upper] = [await buildLayer([{ path: "a", content: "1" }]), await buildLayer([{ path: "b", content: "2" }])];
  const { reference } = here.push("twice", [base, upper, base]);
  for (let round = 0; round < 2; round++) {
    const { layers } = await here.pull(reference, { force: true, signal: AbortSignal.timeout(20_000) });
    assert.equal(layers[0], layers[2]);
    assert.equal(readFileSync(join(layers[0]!, "a"), "utf8"), "1");
  }
});

test("Empty layers of every kind pull: no entries, no bytes, a zero-byte blob, no end of archive", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const { layerFromTar } = await import("../../src/testing/index.ts");
  const none = layerFromTar(Buffer.alloc(0), { compression: "none" });
  const gzip = layerFromTar(Buffer.alloc(0));
  const end = layerFromTar(Buffer.alloc(1024));
  const whole = await buildLayer([{ path: "f", content: "x" }], { compression: "none" });
  const open = layerFromTar((whole.content as Buffer).subarray(0, -1024), { compression: "gzip" });
  const unpadded = layerFromTar((whole.content as Buffer).subarray(0, 513), { compression: "zstd" });
  for (const [name, layer] of Object.entries({ none, gzip, end, open, unpadded })) {
    const { reference } = harness.push(`empty/${name}`, [layer]);
    const image = await harness.pull(reference);
    assert.equal(existsSync(join(image.layers[0]!, "f")), name === "open" || name === "unpadded", name);
  }
});
