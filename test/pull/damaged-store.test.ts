/** Each file of a store damaged or gone: the next pull gives the right answer, says what it found, and heals. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { appendFileSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Image, ProgressEvent } from "../../src/index.ts";
import { decodeLayerRecord, encodeLayerRecord } from "../../src/store/layers.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

const ENTRIES = [
  [
    { path: "etc/motd", content: "hello\n" },
    { path: "bin/sh", content: "program", mode: 0o755 },
    { path: "l", type: "symlink" as const, target: "bin/sh" },
  ],
  [
    { path: "etc/new", content: "hello\n" },
    { path: "etc/upper", content: "of the upper layer alone" },
  ],
];

function firstFile(directory: string): string {
  const [name] = readdirSync(directory).sort();
  return join(directory, name!);
}

interface Damage {
  readonly name: string;
  readonly strike: (harness: StoreHarness, image: Image) => void;
  /** Whether it shows on the cached path, with the trees there, and must be told. */
  readonly warns: boolean;
}

const layerFile = (harness: StoreHarness, name: string): string => join(firstFile(harness.file("layers")), name);
const removeTrees = (harness: StoreHarness): void => {
  for (const tree of readdirSync(harness.file("trees"))) rmSync(harness.file("trees", tree), { recursive: true });
};
const removeChunks = (harness: StoreHarness): void => {
  for (const shard of readdirSync(harness.file("chunks"))) rmSync(harness.file("chunks", shard), { recursive: true });
};

const removeUpperChunk = (harness: StoreHarness, { layers }: Image): void => {
  const { ino } = statSync(join(layers[1]!, "etc/upper"));
  const chunks = readdirSync(harness.file("chunks"), { recursive: true }) as string[];
  rmSync(
    harness.file(
      "chunks",
      chunks.find((name) => statSync(harness.file("chunks", name)).ino === ino)!,
    ),
  );
};

const DAMAGES: readonly Damage[] = [
  { name: "a flipped image record", strike: (harness) => flip(firstFile(harness.file("images/records"))), warns: true },
  { name: "an empty image record", strike: (harness) => truncateSync(firstFile(harness.file("images/records"))), warns: true },
  { name: "no image record", strike: (harness) => rmSync(firstFile(harness.file("images/records"))), warns: false },
  { name: "a flipped reference", strike: (harness) => flip(firstFile(harness.file("images/references"))), warns: true },
  { name: "a reference of text", strike: (harness) => writeFileSync(firstFile(harness.file("images/references")), "text"), warns: true },
  { name: "no reference", strike: (harness) => rmSync(firstFile(harness.file("images/references"))), warns: false },
  { name: "a flipped config", strike: (harness) => flip(firstFile(harness.file("images/configs"))), warns: false },
  { name: "no tree", strike: (harness) => rmSync(firstFile(harness.file("trees")), { recursive: true }), warns: false },
  { name: "no trees and a flipped sidecar", strike: (harness) => (removeTrees(harness), flip(layerFile(harness, "sidecar"))), warns: true },
  {
    name: "no trees and an empty sidecar",
    strike: (harness) => (removeTrees(harness), truncateSync(layerFile(harness, "sidecar"))),
    warns: true,
  },
  { name: "no trees and no sidecar", strike: (harness) => (removeTrees(harness), rmSync(layerFile(harness, "sidecar"))), warns: true },
  {
    name: "no trees and no layer record",
    strike: (harness) => (removeTrees(harness), rmSync(layerFile(harness, "record"))),
    warns: false,
  },
  {
    name: "no trees and a layer record of nonsense",
    strike: (harness) => (removeTrees(harness), writeFileSync(layerFile(harness, "record"), '{"diffId":3}')),
    warns: false,
  },
  {
    name: "no trees and a layer record of null",
    strike: (harness) => (removeTrees(harness), writeFileSync(layerFile(harness, "record"), "null")),
    warns: false,
  },
  {
    name: "no trees and no layer",
    strike: (harness) => (removeTrees(harness), rmSync(firstFile(harness.file("layers")), { recursive: true })),
    warns: false,
  },
  { name: "no trees and no chunks", strike: (harness) => (removeTrees(harness), removeChunks(harness)), warns: true },
  {
    name: "no trees and without a chunk of its upper layer",
    strike: (harness, image) => (removeUpperChunk(harness, image), removeTrees(harness)),
    warns: true,
  },
  { name: "no db", strike: (harness) => rmSync(harness.file("db"), { recursive: true }), warns: false },
  {
    name: "no db and no first layer",
    strike: (harness) => (
      rmSync(harness.file("db"), { recursive: true }),
      removeTrees(harness),
      rmSync(firstFile(harness.file("layers")), { recursive: true })
    ),
    warns: false,
  },
  {
    name: "no db and a flipped sidecar",
    strike: (harness) => (rmSync(harness.file("db"), { recursive: true }), removeTrees(harness), flip(layerFile(harness, "sidecar"))),
    warns: true,
  },
  { name: "a db without CURRENT", strike: (harness) => rmSync(harness.file("db/CURRENT")), warns: false },
  { name: "a db with nonsense in CURRENT", strike: (harness) => writeFileSync(harness.file("db/CURRENT"), "nonsense"), warns: false },
  {
    name: "no locks",
    strike: (harness) => readdirSync(harness.file("locks")).forEach((name) => rmSync(harness.file("locks", name))),
    warns: false,
  },
];

for (const { name, strike, warns } of DAMAGES) {
  test(`A store with ${name} gives the right image, heals, and takes others`, async () => {
    await using harness = await startStore({ store: { workers: 1 } });
    const { reference } = await harness.pushEntries("damaged/image", ...ENTRIES);
    const image = await harness.pull(reference);
    await harness.reopen();
    strike(harness, image);
    const { events, image: again, error } = await harness.watch(reference);
    assert.equal(error, undefined, String(error));
    assert.ok(isRight(again!));
    const warned = events.some(({ kind }) => kind === "warning") || harness.warnings.length > 0;
    assert.equal(warned, warns);
    const other = await harness.pushEntries("other/image", [{ path: "other", content: "o" }], ...ENTRIES);
    assert.equal((await harness.pull(other.reference)).layers.length, 3);
    await harness.reopen();
    const third = await harness.watch(reference);
    assert.deepEqual(
      third.events.map(({ kind }) => kind),
      ["complete"],
    );
    assert.ok(isRight(third.image!));
    assert.deepEqual(harness.staged(), []);
  });
}

test("`force` puts right what was written through a tree, and a changed chunk, and leaves the rest", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const { reference } = await harness.pushEntries("written/through", ...ENTRIES);
  const { layers } = await harness.pull(reference);
  appendFileSync(join(layers[0]!, "etc/motd"), "written through");
  writeFileSync(join(layers[0]!, "bin/sh"), "PROGRAM");
  writeFileSync(join(layers[1]!, "extra"), "");
  assert.ok(isRight(await harness.pull(reference, { force: true })));
  assert.ok(!existsSync(join(layers[1]!, "extra")));
});

test("A layer from another boot is verified before it is used, and fetched again if it is damaged", async () => {
  await using harness = await startStore({ store: { workers: 1 } });
  const { reference } = await harness.pushEntries("before/crash", ...ENTRIES);
  for (const damaged of [false, true]) {
    await harness.pull(reference);
    await harness.reopen();
    for (const layer of readdirSync(harness.file("layers"))) {
      const path = harness.file("layers", layer, "record");
      writeFileSync(path, encodeLayerRecord({ ...decodeLayerRecord(readFileSync(path))!, bootId: randomUUID() }));
      rmSync(harness.file("layers", layer, "durable"), { force: true });
    }
    rmSync(firstFile(harness.file("images/records")));
    for (const name of readdirSync(harness.file("locks"))) if (name.startsWith("tree-")) truncateSync(harness.file("locks", name));
    if (damaged) for (const shard of readdirSync(harness.file("chunks"))) truncateSync(firstFile(harness.file("chunks", shard)));
    const blobs = harness.blobRequests();
    assert.ok(isRight(await harness.pull(reference)));
    assert.equal(harness.blobRequests() - blobs, damaged ? 2 : 0);
  }
});

function isRight({ layers }: Image): boolean {
  const read = (layer: number, path: string): string => readFileSync(join(layers[layer]!, path), "utf8");
  return (
    read(0, "etc/motd") === "hello\n" &&
    read(0, "l") === "program" &&
    read(1, "etc/new") === "hello\n" &&
    read(1, "etc/upper") === "of the upper layer alone" &&
    readdirSync(layers[1]!).length === 1
  );
}

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
}

test("A pull starts a layer over when a gc took a chunk that it was about to store once more", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("team/linked", [
    { path: "f", content: "content", mtime: 1 },
    { path: "g", type: "hardlink", target: "f", mtime: 2 },
  ]);
  let strikes = 0;
  const onProgress = ({ kind }: ProgressEvent): void => {
    if (kind !== "sidecar-started" || strikes++ > 0) return;
    removeChunks(harness);
    const generation = Buffer.alloc(8);
    generation.writeBigUInt64LE(7n);
    writeFileSync(harness.file("locks", "sweep"), generation);
  };
  const image = await harness.pull(reference, { onProgress });
  assert.equal(strikes, 2);
  assert.equal(readFileSync(join(image.layers[0]!, "g"), "utf8"), "content");
});
