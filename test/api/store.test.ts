/** The life cycle of a store's handle: `close()` ends everything that the handle has begun. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { exportImage, materializeRootfs, type Image, type Store } from "../../src/index.ts";
import { startStore } from "../support/store-harness.ts";

const CLOSED = { code: "STORE_CLOSED" };

test("`exportLayer()` yields nothing after `close()` has resolved", async () => {
  await using harness = await startStore();
  const { reference, image } = await harness.pushEntries("big/layer", [{ path: "big", content: randomBytes(8_000_000) }]);
  await harness.pull(reference);
  const store = await harness.store();
  const bytes = store.exportLayer(image.layers[0]!.diffId);
  assert.equal((await bytes.next()).done, false);
  await store.close();
  await assert.rejects(bytes.next(), CLOSED);
  assert.equal((await bytes.next()).done, true);
});

test("`createReadStream()` ends with STORE_CLOSED when the store is closed", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("big/file", [{ path: "big", content: randomBytes(8_000_000) }]);
  await using image = await (await harness.client()).pull(reference);
  const stream = image.createReadStream("/big");
  await once(stream, "readable");
  stream.read();
  await (await harness.store()).close();
  const failed = once(stream, "error");
  stream.resume();
  assert.equal(((await failed) as [NodeJS.ErrnoException])[0].code, "STORE_CLOSED");
});

type Operation = (store: Store, image: Image, path: string) => Promise<unknown>;

const OPERATIONS: Readonly<Record<string, Operation>> = {
  image: (store, { reference }) => store.image(reference),
  exportLayer: (store) => store.exportLayer(`sha256:${"0".repeat(64)}`).next(),
  images: (store) => store.images(),
  remove: (store, { reference }) => store.remove(reference),
  pin: (store, { reference }) => store.pin(reference),
  unpin: (store, { reference }) => store.unpin(reference),
  pins: (store) => store.pins(),
  gc: (store) => store.gc(),
  dematerialize: (store, { reference }) => store.dematerialize(reference),
  usage: (store) => store.usage(),
  why: (store, { reference }) => store.why(reference),
  lease: (store, image) => store.lease("box", image),
  leases: (store) => store.leases(),
  release: (store) => store.release("box"),
  "image.materialize": (_, image) => image.materialize(),
  "image.dematerialize": (_, image) => image.dematerialize(),
  "image.readManifest": (_, image) => image.readManifest(),
  "image.readConfig": (_, image) => image.readConfig(),
  "image.stat": (_, image) => image.stat("/file"),
  "image.lstat": (_, image) => image.lstat("/file"),
  "image.readdir": (_, image) => image.readdir("/"),
  "image.readlink": (_, image) => image.readlink("/link"),
  "image.realpath": (_, image) => image.realpath("/file"),
  "image.readFile": (_, image) => image.readFile("/file"),
  exportImage: (_, image, path) => exportImage(image, `oci:${path}`),
  materializeRootfs: (_, image, path) => materializeRootfs(image, path, { mode: "copy" }),
};

test("every operation of a store and its images rejects with STORE_CLOSED after `close()`", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("some/image", [{ path: "file", content: "x" }]);
  await using image = await (await harness.client()).pull(reference, { materialize: "lazy" });
  await image.stat("/file");
  const store = await harness.store();
  await store.close();
  for (const [name, operation] of Object.entries(OPERATIONS))
    await assert.rejects(operation(store, image, join(harness.path, "..", "made")), CLOSED, name);
});

test("OPERATIONS covers every method of a store and an image", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("some/image", [{ path: "file", content: "x" }]);
  await using image = await (await harness.client()).pull(reference);
  const other = new Set(["constructor", "close", "createReadStream"]);
  const methods = (object: object): string[] => {
    const all = Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(object) as object));
    return all.filter(([name, { value }]) => typeof value === "function" && !other.has(name)).map(([name]) => name);
  };
  const covered = Object.keys(OPERATIONS);
  assert.deepEqual(
    methods(await harness.store()).filter((name) => !covered.includes(name)),
    [],
  );
  assert.deepEqual(
    methods(image).filter((name) => !covered.includes(`image.${name}`)),
    [],
  );
});
