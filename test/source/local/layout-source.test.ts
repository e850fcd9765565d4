import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ShaleError } from "../../../src/errors.ts";
import { parseReference, type Reference } from "../../../src/image/reference.ts";
import { LayoutSource } from "../../../src/source/local/layout-source.ts";
import { buildImage, buildImageIndex, buildLayer, writeLayout, type TestImage } from "../../../src/testing/index.ts";
import { collect, descriptorFor } from "../registry-harness.ts";

class Layout {
  readonly directory: string;
  readonly image: TestImage;
  readonly source: LayoutSource = new LayoutSource();

  constructor(directory: string, image: TestImage) {
    this.directory = directory;
    this.image = image;
  }

  reference(tag?: string): Reference {
    return parseReference(`oci:${this.directory}${tag === undefined ? "" : `:${tag}`}`);
  }

  path(digest: string): string {
    return join(this.directory, "blobs", ...digest.split(":"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true });
  }
}

async function makeLayout(tags: readonly string[] = ["1.0"]): Promise<Layout> {
  const directory = await mkdtemp(join(tmpdir(), "shale-layout-"));
  const image = buildImage({ layers: [await buildLayer([{ path: "a", content: "x".repeat(1_000_000) }], { compression: "none" })] });
  await writeLayout(directory, Object.fromEntries(tags.map((tag) => [tag, image])));
  return new Layout(directory, image);
}

test("`LayoutSource` finds a manifest by tag, and the only manifest without a tag", async () => {
  await using layout = await makeLayout();
  for (const reference of [layout.reference("1.0"), layout.reference()]) {
    const { bytes, descriptor } = await layout.source.resolve(reference);
    assert.deepEqual(bytes, layout.image.manifest.content);
    assert.equal(descriptor.digest, layout.image.manifest.digest);
  }
});

test("`LayoutSource` reads an image index and its manifests", async () => {
  await using layout = await makeLayout();
  const index = buildImageIndex([layout.image]);
  await writeLayout(layout.directory, { multi: index });
  const { descriptor } = await layout.source.resolve(layout.reference("multi"));
  assert.equal(descriptor.digest, index.manifest.digest);
  const child = await layout.source.readManifest(layout.reference(), descriptorFor(layout.image.manifest));
  assert.deepEqual(child.bytes, layout.image.manifest.content);
});

test("`LayoutSource` refuses a missing tag, and no tag if several images exist", async () => {
  await using layout = await makeLayout();
  await assert.rejects(layout.source.resolve(layout.reference("2.0")), { code: "IMAGE_NOT_FOUND" });
  await writeLayout(layout.directory, { a: layout.image, b: buildImage({ layers: [] }) });
  await assert.rejects(
    layout.source.resolve(layout.reference()),
    (error) => ShaleError.is(error, "IMAGE_NOT_FOUND") && error.message.includes('"a", "b"'),
  );
});

test("`LayoutSource` streams a blob from an offset, for a length", async () => {
  await using layout = await makeLayout();
  const [layer] = layout.image.layers;
  assert.ok(layer !== undefined);
  const all = Buffer.from(layer.content as Uint8Array);
  const read = (options: object): Promise<Buffer> => collect(layout.source.readBlob(layout.reference(), descriptorFor(layer), options));
  assert.ok((await read({})).equals(all));
  assert.ok((await read({ offset: 700_001 })).equals(all.subarray(700_001)));
  assert.ok((await read({ offset: 10, length: 5 })).equals(all.subarray(10, 15)));
  assert.equal((await read({ offset: layer.size })).length, 0);
  await assert.rejects(read({ offset: layer.size + 1 }), RangeError);
  const reason = new Error("enough");
  await assert.rejects(read({ signal: AbortSignal.abort(reason) }), (error) => error === reason);
});

test("`LayoutSource` reports missing, truncated and altered blobs", async () => {
  await using layout = await makeLayout();
  const [layer] = layout.image.layers;
  assert.ok(layer !== undefined);
  const read = (): Promise<Buffer> => collect(layout.source.readBlob(layout.reference(), descriptorFor(layer)));
  await truncate(layout.path(layer.digest), 1000);
  await assert.rejects(read(), (error) => ShaleError.is(error, "SIZE_MISMATCH") && error.detail.actual === 1000);
  await rm(layout.path(layer.digest));
  await assert.rejects(read(), { code: "BLOB_NOT_FOUND" });
  const manifest = Buffer.from(layout.image.manifest.content as Uint8Array);
  manifest[5] = (manifest[5] ?? 0) ^ 1;
  await writeFile(layout.path(layout.image.manifest.digest), manifest);
  await assert.rejects(layout.source.resolve(layout.reference()), { code: "DIGEST_MISMATCH" });
  await rm(layout.path(layout.image.manifest.digest));
  await assert.rejects(layout.source.resolve(layout.reference()), { code: "BLOB_NOT_FOUND" });
});

test("`LayoutSource` follows no symlink and opens no FIFO in place of a blob", async () => {
  await using layout = await makeLayout();
  const { digest } = layout.image.manifest;
  await rename(layout.path(digest), join(layout.directory, "elsewhere"));
  await symlink(join(layout.directory, "elsewhere"), layout.path(digest));
  await assert.rejects(layout.source.resolve(layout.reference()), { code: "SOURCE_INVALID" });
  await rm(layout.path(digest));
  execFileSync("mkfifo", [layout.path(digest)]);
  await assert.rejects(layout.source.resolve(layout.reference()), { code: "SOURCE_INVALID" });
});

const DAMAGE: readonly (readonly [string, string, string | undefined, string])[] = [
  ["no oci-layout", "oci-layout", undefined, "SOURCE_INVALID"],
  ["an oci-layout that is no JSON", "oci-layout", "1.0.0", "SOURCE_INVALID"],
  ["another layout version", "oci-layout", '{"imageLayoutVersion":"2.0.0"}', "SOURCE_INVALID"],
  ["no index.json", "index.json", undefined, "SOURCE_INVALID"],
  ["an index.json that is no JSON", "index.json", "{", "MANIFEST_INVALID"],
  ["an index.json that is a manifest", "index.json", '{"schemaVersion":2,"config":{},"layers":[]}', "MANIFEST_INVALID"],
  ["an index.json beyond 4 MiB", "index.json", " ".repeat((4 << 20) + 1), "MANIFEST_TOO_LARGE"],
  [
    "an index.json whose digest is a path",
    "index.json",
    '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:../../index.json","size":1}]}',
    "MANIFEST_INVALID",
  ],
  ["no images", "index.json", '{"schemaVersion":2,"manifests":[]}', "IMAGE_NOT_FOUND"],
];

for (const [what, file, content, code] of DAMAGE) {
  test(`\`LayoutSource\` refuses a layout with ${what}`, async () => {
    await using layout = await makeLayout();
    const path = join(layout.directory, file);
    await (content === undefined ? rm(path) : writeFile(path, content));
    await assert.rejects(layout.source.resolve(layout.reference()), { code });
  });
}

test("`LayoutSource` refuses a missing directory", async () => {
  await assert.rejects(new LayoutSource().resolve(parseReference("oci:/absent/for/sure")), { code: "SOURCE_INVALID" });
});
