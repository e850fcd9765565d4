/** What of the network a whole pull shows: who is asked, in which order, for how many bytes. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { openStore, Registry, type ProgressEvent, type Store } from "../../src/index.ts";
import { parseBlobDigest } from "../../src/image/digest.ts";
import { buildImage, buildLayer, startRegistry, type TestImage, type TestLayer, type TestRegistry } from "../../src/testing/index.ts";
import { startStore } from "../support/store-harness.ts";
import { temporaryDirectory, type TemporaryDirectory } from "../support/temporary-directory.ts";

const LAYER: TestLayer = await buildLayer([{ path: "noise", content: randomBytes(500_000) }]);

/** A registry, and a mirror of it that hosts.toml names. */
class Mirrored implements AsyncDisposable {
  readonly registry: TestRegistry;
  readonly mirror: TestRegistry;
  readonly reference: string;
  readonly image: TestImage;
  readonly store: Store;
  readonly client: Registry;
  readonly events: ProgressEvent[] = [];
  readonly #directory: TemporaryDirectory;

  private constructor(directory: TemporaryDirectory, registries: readonly [TestRegistry, TestRegistry], store: Store) {
    this.#directory = directory;
    [this.registry, this.mirror] = registries;
    this.store = store;
    this.image = buildImage({ layers: [LAYER] });
    this.reference = this.registry.push("team/app", "v1", this.image);
    this.mirror.push("team/app", "v1", this.image);
    const path = join(directory.path, "certs.d", this.registry.host, "hosts.toml");
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `[host."${this.mirror.origin}"]\n`);
    const hostDirectories = [join(directory.path, "certs.d")];
    this.client = new Registry({ store, plainHttp: true, credentials: "anonymous", hostDirectories, retry: { firstDelayMs: 5 } });
  }

  static async start(): Promise<Mirrored> {
    const directory = await temporaryDirectory();
    return new Mirrored(directory, [await startRegistry(), await startRegistry()], await openStore(join(directory.path, "store")));
  }

  async pull(): Promise<void> {
    await using image = await this.client.pull(this.reference, { onProgress: (event) => this.events.push(event) });
    assert.equal(image.manifestDigest, this.image.manifest.digest);
  }

  /** Bytes that each has sent of the layer. */
  get sent(): readonly number[] {
    return [this.mirror, this.registry].map((host) =>
      host.requestsTo(new RegExp(`blobs/${LAYER.digest}`)).reduce((sum, { bytes }) => sum + bytes, 0),
    );
  }

  get told(): readonly string[] {
    return this.events.flatMap((event) =>
      event.kind === "serving" ? [`${event.host === this.mirror.host ? "mirror" : "registry"} ${event.mirror}`] : [],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.store.close();
    await Promise.all([this.registry.close(), this.mirror.close(), this.#directory[Symbol.asyncDispose]()]);
  }
}

test("`pull()` fetches wrong bytes of a mirror once more, from the next host, and tells of both", async () => {
  await using place = await Mirrored.start();
  place.mirror.misbehave({ match: /blobs/, after: 1, times: 99, action: { kind: "flip", at: 400_000 } });
  await place.pull();
  assert.deepEqual(place.sent, [LAYER.size, LAYER.size]);
  assert.deepEqual(place.told, ["mirror true", "registry false"]);
  assert.ok(place.events.some((event) => event.kind === "warning" && event.code === "DIGEST_MISMATCH"));
});

test("`pull()` goes on at the next host where a mirror broke off, and takes no byte twice", async () => {
  await using place = await Mirrored.start();
  place.mirror.misbehave({ match: new RegExp(LAYER.digest), times: 99, action: { kind: "cut", after: 200_000 } });
  await place.pull();
  assert.deepEqual(place.sent, [200_000, LAYER.size - 200_000]);
  assert.deepEqual(place.told, ["mirror true", "registry false"]);
  assert.ok(place.events.some((event) => event.kind === "retrying" && event.host === place.mirror.host));
});

test("`pull()` fetches wrong bytes once more and not twice, when there is one host", async () => {
  await using harness = await startStore();
  const { reference } = harness.push("team/app", [LAYER]);
  harness.registry.misbehave({ match: new RegExp(LAYER.digest), times: 99, action: { kind: "flip", at: 400_000 } });
  await assert.rejects(harness.pull(reference), { code: "DIGEST_MISMATCH" });
  assert.equal(
    harness.registry.requestsTo(new RegExp(LAYER.digest)).reduce((sum, { bytes }) => sum + bytes, 0),
    2 * LAYER.size,
  );
});

test("`pull()` begins with the layer that takes longest", async () => {
  await using harness = await startStore();
  const sizes = [1000, 2000, 300_000, 3000, 200_000, 100_000];
  const layers = await Promise.all(sizes.map((size, index) => buildLayer([{ path: `${index}`, content: randomBytes(size) }])));
  const { reference } = harness.push("team/app", layers);
  harness.registry.misbehave({ match: /blobs/, after: 1, times: 3, action: { kind: "drip", bytes: 100_000, everyMs: 50 } });
  // as they begin, not as they arrive: each has a connection of its own
  const { events } = await harness.watch(reference);
  const begun = events.flatMap((event) => (event.kind === "download-started" ? [event.index] : []));
  assert.deepEqual(begun, [2, 4, 5, 3, 1, 0]);
});

test("`pull()` asks with `always` once, by HEAD, when nothing changed, and not at all for a digest", async () => {
  await using harness = await startStore();
  const { reference, image } = harness.push("team/app", [LAYER]);
  await harness.pull(reference);
  const { length } = harness.registry.requests;
  assert.equal((await harness.pull(reference, { pullPolicy: "always" })).cached, true);
  const asked = harness.registry.requests.slice(length).map(({ method, path, bytes }) => [method, path, bytes]);
  assert.deepEqual(asked, [["HEAD", "/v2/team/app/manifests/latest", 0]]);
  for (const pullPolicy of ["if-missing", "always", "never"] as const) {
    assert.equal((await harness.pull(`${reference}@${image.manifest.digest}`, { pullPolicy })).cached, true);
  }
  assert.equal(harness.registry.requests.length, length + 1);
});

/** The same bytes under their SHA-512. */
function by512<T extends { content: unknown; digest: unknown }>(blob: T): T {
  const digest = parseBlobDigest(
    `sha512:${createHash("sha512")
      .update(blob.content as Uint8Array)
      .digest("hex")}`,
  );
  return { ...blob, digest };
}

test("`pull()` verifies blobs, config and manifest that are named by SHA-512", async () => {
  await using harness = await startStore();
  const layer = by512(LAYER);
  const plain = buildImage({ layers: [layer] });
  const config = by512(plain.config);
  const { digest, size, mediaType } = config;
  const manifest = by512(buildImage({ layers: [layer], manifest: { config: { digest, size, mediaType } } }).manifest);
  const { digest: named } = manifest;
  harness.registry.push("long/digests", "v1", { ...plain, manifest, config });
  const reference = `${harness.registry.host}/long/digests@${named}`;
  for (const blob of [manifest, config, layer]) {
    harness.registry.misbehave({ match: new RegExp(blob.digest), times: 2, action: { kind: "flip", at: 30 } });
    await assert.rejects(harness.pull(reference), { code: "DIGEST_MISMATCH" });
    if (blob === manifest) await assert.rejects(harness.pull(reference), { code: "DIGEST_MISMATCH" });
  }
  const image = await harness.pull(reference);
  assert.equal(image.manifestDigest, named);
  assert.equal((await harness.pull(reference, { pullPolicy: "never" })).cached, true);
});
