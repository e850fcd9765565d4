/** A store on a small file system that is mounted for the test. Needs root. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, realpathSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore, Registry, ShaleError, type StoreOptions } from "../../src/index.ts";
import { buildImage, buildLayer, startRegistry, type TestRegistry } from "../../src/testing/index.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const MiB = 1024 * 1024;

interface Place extends AsyncDisposable {
  /** On a tmpfs of 64 MiB. */
  readonly path: string;
  readonly registry: TestRegistry;
  pull(reference: string, options?: StoreOptions): Promise<unknown>;
}

async function openPlace(): Promise<Place> {
  const directory = await temporaryDirectory();
  const mount = join(realpathSync(directory.path), "small");
  mkdirSync(mount);
  await run("mount", ["-t", "tmpfs", "-o", "size=64m,mode=0700", "none", mount]);
  const registry = await startRegistry();
  const path = join(mount, "store");
  const pull = async (reference: string, options: StoreOptions = {}): Promise<unknown> => {
    await using store = await openStore(path, options);
    await using client = new Registry({ store, plainHttp: true, credentials: "anonymous", hostDirectories: [] });
    return await client.pull(reference).then(
      async (image) => image.close(),
      (error: unknown) => error,
    );
  };
  const dispose = async (): Promise<void> => {
    await registry.close();
    await run("umount", [mount]);
    await directory[Symbol.asyncDispose]();
  };
  return { path, registry, pull, [Symbol.asyncDispose]: dispose };
}

/** Content that does not compress: the blob is as large. */
async function pushBytes(registry: TestRegistry, name: string, bytes: number, compression: "gzip" | "none" = "gzip"): Promise<string> {
  return registry.push(
    name,
    "latest",
    buildImage({ layers: [await buildLayer([{ path: name, content: randomBytes(bytes) }], { compression })] }),
  );
}

function blobRequests(registry: TestRegistry): number {
  return registry.requestsTo(/^GET .*\/blobs\//).length;
}

test("`pull()` fails with LOW_DISK before any layer is fetched when the blobs alone do not fit", async () => {
  await using place = await openPlace();
  const reference = await pushBytes(place.registry, "large", 80 * MiB);
  const error = await place.pull(reference);
  assert.ok(ShaleError.is(error, "LOW_DISK"), String(error));
  assert.ok(error.detail.needed > 80 * MiB && error.detail.available < 64 * MiB && error.detail.available > 60 * MiB);
  assert.equal(blobRequests(place.registry), 1, "the config alone");
  assert.deepEqual([readdirSync(join(place.path, "layers")), readdirSync(join(place.path, "chunks"))], [[], []]);
});

test("`openStore({ minFreeBytes })` counts what compressed layers unpack to, and keeps so much free", async () => {
  await using place = await openPlace();
  const compressed = await pushBytes(place.registry, "compressed", 18 * MiB);
  assert.ok(ShaleError.is(await place.pull(compressed, { minFreeBytes: 0 }), "LOW_DISK"), "18 MiB and three times as much");
  const plain = await pushBytes(place.registry, "plain", 18 * MiB, "none");
  assert.ok(ShaleError.is(await place.pull(plain, { minFreeBytes: 30 * MiB }), "LOW_DISK"));
  assert.equal(await place.pull(plain, { minFreeBytes: 20 * MiB }), undefined);
  const { bavail, bsize } = statfsSync(place.path);
  assert.ok(bavail * bsize >= 20 * MiB);
  assert.equal(await place.pull(plain, { minFreeBytes: 60 * MiB }), undefined, "in the store: nothing is needed");
  assert.equal(await place.pull(compressed), undefined, "without a margin the blob itself has to fit");
});

test("`openStore({ minFreeBytes: -Infinity })` lets every pull try", async () => {
  await using place = await openPlace();
  const reference = await pushBytes(place.registry, "large", 80 * MiB);
  assert.ok(ShaleError.is(await place.pull(reference, { minFreeBytes: Number.NEGATIVE_INFINITY }), "NO_SPACE"));
  writeFileSync(join(place.path, "..", "filler"), Buffer.alloc(1));
  assert.ok(ShaleError.is(await place.pull(reference), "LOW_DISK"));
});
