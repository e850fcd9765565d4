/** Each limit: its code, name and number in the error, and that an image exactly within it passes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Registry, ShaleError, type ErrorCode, type Limits } from "../../src/index.ts";
import { DEFAULT_LIMITS, resolveLimits } from "../../src/pull/limits.ts";
import { buildImage, buildImageIndex, jsonBlob, layerFromTar, type TestLayer } from "../../src/testing/index.ts";
import { descriptorOf } from "../../src/testing/image.ts";
import { GNU, rawHeader } from "../tar/raw-header.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";
import { archive, dir, file, pax, symlink } from "./case.ts";

interface LimitCase {
  readonly limit: keyof Limits;
  readonly code: ErrorCode;
  /** The smallest limit at which the image passes. */
  readonly enough: number;
  readonly layers?: () => readonly TestLayer[];
  /** Makes an image that `layers` cannot describe. Default: an image of `layers`. */
  readonly push?: (harness: StoreHarness) => string;
  readonly others?: Partial<Limits>;
}

const one =
  (...entries: readonly Buffer[]): (() => readonly TestLayer[]) =>
  () => [layerFromTar(archive(...entries))];
const SPARSE: Buffer = rawHeader({
  name: "s",
  typeflag: "S",
  magic: GNU,
  patches: { 386: "00000005000\0", 398: "00000000000\0", 483: "00000005000\0" },
});
const SMALL: TestLayer = layerFromTar(archive(file("a")));

const CASES: readonly LimitCase[] = [
  { limit: "layerBytes", code: "LIMIT_LAYER_BYTES", enough: 2048, layers: one(file("a")) },
  { limit: "layerBytes", code: "LIMIT_LAYER_BYTES", enough: 1536 + 0o5000, layers: one(SPARSE) },
  { limit: "imageBytes", code: "LIMIT_IMAGE_BYTES", enough: 4096, layers: () => [SMALL, layerFromTar(archive(file("b"))), SMALL] },
  { limit: "fileBytes", code: "LIMIT_FILE_BYTES", enough: 700, layers: one(file("a", "x".repeat(700))) },
  { limit: "fileBytes", code: "LIMIT_FILE_BYTES", enough: 3_000_000, layers: one(file("a", Buffer.alloc(3_000_000))) },
  { limit: "layerEntries", code: "LIMIT_LAYER_ENTRIES", enough: 3, layers: one(file("a"), file("a"), file(".wh.b", "")) },
  { limit: "pathDepth", code: "LIMIT_PATH_DEPTH", enough: 4, layers: one(dir("a/b/c/d")) },
  { limit: "pathDepth", code: "LIMIT_PATH_DEPTH", enough: 4, layers: one(symlink("l", "a/b/c"), file("l/d")) },
  { limit: "headerBytes", code: "LIMIT_HEADER_BYTES", enough: 1536, layers: one(pax(["comment", "x"]), file("a")) },
  {
    limit: "xattrBytes",
    code: "LIMIT_XATTR_BYTES",
    enough: 6 + 100 + 16,
    layers: one(pax(["SCHILY.xattr.user.n", "v".repeat(100)]), file("a")),
  },
  { limit: "imageLayers", code: "LIMIT_IMAGE_LAYERS", enough: 2, layers: () => [SMALL, SMALL] },
  { limit: "blobBytes", code: "LIMIT_BLOB_BYTES", enough: SMALL.size, layers: () => [SMALL] },
  { limit: "ratioFloor", code: "LIMIT_RATIO", enough: 1 << 20, layers: () => [layerFromTar(Buffer.alloc(1 << 20))], others: { ratio: 2 } },
  { limit: "ratio", code: "LIMIT_RATIO", enough: 1000, layers: () => [layerFromTar(Buffer.alloc(1 << 20))], others: { ratioFloor: 1000 } },
  {
    limit: "configBytes",
    code: "LIMIT_CONFIG_BYTES",
    enough: buildImage({ layers: [SMALL] }).config.size,
    layers: () => [SMALL],
  },
  {
    limit: "manifestBytes",
    code: "MANIFEST_TOO_LARGE",
    enough: buildImage({ layers: [SMALL] }).manifest.size,
    layers: () => [SMALL],
  },
  {
    limit: "indexDepth",
    code: "LIMIT_INDEX_DEPTH",
    enough: 3,
    push: ({ registry }) => {
      const image = buildImage({ layers: [SMALL] });
      let index = buildImageIndex([image]);
      for (let depth = 1; depth < 3; depth++) {
        registry.push("nested/index", `depth-${depth}`, index);
        const { os, architecture } = image.platform;
        const entry = { ...descriptorOf(index.manifest), platform: { os, architecture } };
        index = {
          images: [image],
          manifest: jsonBlob(index.manifest.mediaType, { schemaVersion: 2, mediaType: index.manifest.mediaType, manifests: [entry] }),
        };
      }
      return registry.push("nested/index", "latest", index);
    },
  },
];

for (const { limit, code, enough, layers, push, others } of CASES) {
  test(`\`pull()\` fails with ${code} for ${limit} ${enough - 1} and passes with ${enough}`, async () => {
    // headers count in whole blocks
    const less = limit === "ratio" ? 2 : enough - 1;
    for (const [value, passes] of [
      [less, false],
      [enough, true],
    ] as const) {
      await using harness = await startStore({ client: { limits: { ...others, [limit]: value } } });
      const reference = push ? push(harness) : harness.push("limited/image", layers!()).reference;
      const { image, error } = await harness.watch(reference);
      if (passes) {
        assert.ok(image, String(error));
        continue;
      }
      assert.ok(ShaleError.is(error), String(error));
      assert.equal(error.code, code, error.message);
      const name = limit === "ratioFloor" ? "ratio" : limit;
      const maximum = limit === "ratioFloor" ? 2 : limit === "headerBytes" ? 1024 : value;
      assert.deepEqual(error.detail, code === "MANIFEST_TOO_LARGE" ? { limit: maximum } : { limit: name, maximum });
      assert.ok(error.message.includes(String(maximum)), error.message);
      assert.deepEqual(harness.staged(), []);
    }
  });
}

test("`pull()` fails with LIMIT_METADATA_BYTES for names and headers beyond metadataBytes", async () => {
  await using harness = await startStore({ client: { limits: { metadataBytes: 100_000 } } });
  const long = Array.from({ length: 500 }, (_, index) => dir(`${index}${"n".repeat(240)}`));
  const error = (await harness.watch(harness.push("many/names", one(...long)()).reference)).error;
  assert.ok(ShaleError.is(error, "LIMIT_METADATA_BYTES"), String(error));
  assert.deepEqual(error.detail, { limit: "metadataBytes", maximum: 100_000 });
  // the name is short in the archive and long in the tree
  const symlinked = Array.from({ length: 300 }, (_, index) => dir(`s/${index}`));
  const { reference } = harness.push("long/paths", one(symlink("s", `${"p".repeat(200)}/`.repeat(5)), ...symlinked)());
  assert.ok(ShaleError.is((await harness.watch(reference)).error, "LIMIT_METADATA_BYTES"));
});

test("`pull()` stops at once when a registry sends more than the descriptor says", async () => {
  await using harness = await startStore();
  const { reference, image } = harness.push("too/long", [layerFromTar(archive(file("a", "x".repeat(1000))), { compression: "none" })]);
  harness.registry.misbehave({ match: new RegExp(image.layers[0]!.digest), times: 99, action: { kind: "extend", bytes: 64 << 20 } });
  const { error } = await harness.watch(reference);
  assert.ok(ShaleError.is(error, "SIZE_MISMATCH"), String(error));
  assert.equal(error.detail.expected, image.layers[0]!.size);
});

test("`Registry` refuses invalid limits, and uses the default for an undefined one", async () => {
  await using harness = await startStore();
  const store = await harness.store();
  for (const limits of [
    { layerBytes: -1 },
    { layerBytes: 1.5 },
    { ratio: NaN },
    { headerBytes: 2 << 20 },
    { manifestBytes: 8 << 20 },
    { layerBites: 1 },
  ]) {
    assert.throws(() => new Registry({ store, limits }), RangeError, JSON.stringify(limits));
  }
  assert.deepEqual(resolveLimits({ layerBytes: undefined }), DEFAULT_LIMITS);
  assert.equal(resolveLimits({ layerBytes: 0 }).layerBytes, 0);
});
