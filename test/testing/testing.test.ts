import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { extract, type Header } from "tar-stream";
import { parseConfig } from "../../src/image/config.ts";
import { matchLayers, parseManifestDocument } from "../../src/image/manifest.ts";
import { choosePlatform } from "../../src/image/choose-platform.ts";
import { parsePlatform } from "../../src/image/platform.ts";
import { parseReference } from "../../src/image/reference.ts";
import { RegistrySource } from "../../src/source/registry/registry-source.ts";
import {
  blobsOf,
  buildImage,
  buildImageIndex,
  buildLayer,
  fileBlob,
  imageFor,
  startRegistry,
  type TestEntry,
} from "../../src/testing/index.ts";
import { collect, descriptorFor } from "../source/registry-harness.ts";

const ENTRIES: readonly TestEntry[] = [
  { path: "d", type: "directory", mode: 0o700 },
  { path: "d/f", content: "hello", uid: 1000, gid: 1001, mtime: 1_700_000_000, mode: 0o4755 },
  { path: "d/none", mode: 0 },
  { path: "s", type: "symlink", target: "/d/f" },
  { path: "h", type: "hardlink", target: "d/f" },
  { path: "null", type: "char", major: 1, minor: 3 },
  { path: "fifo", type: "fifo" },
  { path: "x", content: "y", xattrs: { "user.note": "text" } },
];

async function list(tar: Uint8Array): Promise<Header[]> {
  const found: Header[] = [];
  const reader = extract();
  reader.end(tar);
  for await (const entry of reader) {
    found.push(entry.header);
    entry.resume();
  }
  return found;
}

test("`buildLayer()` packs entries as given, with equal bytes each time and with each compression", async () => {
  const [none, gzip, zstd] = await Promise.all(
    (["none", "gzip", "zstd"] as const).map((compression) => buildLayer(ENTRIES, { compression })),
  );
  assert.ok(none && gzip && zstd);
  const tar = none.content as Uint8Array;
  assert.deepEqual(gunzipSync(gzip.content as Uint8Array), tar);
  assert.deepEqual(zstdDecompressSync(zstd.content as Uint8Array), tar);
  assert.deepEqual([gzip.diffId, zstd.diffId], [none.diffId, none.diffId]);
  assert.equal(none.diffId, `sha256:${createHash("sha256").update(tar).digest("hex")}`);
  assert.equal((await buildLayer(ENTRIES)).digest, gzip.digest);
  const headers = await list(tar);
  assert.deepEqual(
    headers.map(({ name, type, mode }) => [name, type, mode]),
    [
      ["d/", "directory", 0o700],
      ["d/f", "file", 0o4755],
      ["d/none", "file", 0],
      ["s", "symlink", 0o777],
      ["h", "link", 0o644],
      ["null", "character-device", 0o644],
      ["fifo", "fifo", 0o644],
      ["x", "file", 0o644],
    ].map(([name, ...rest]) => [String(name).replace(/\/$/, ""), ...rest]),
  );
  const file = headers[1];
  assert.deepEqual([file?.uid, file?.gid, file?.mtime?.getTime(), file?.size], [1000, 1001, 1_700_000_000_000, 5]);
});

test("`buildImage()` builds documents that shale's parsers accept, in both formats", async () => {
  const layers = [await buildLayer([{ path: "a" }]), await buildLayer([{ path: "b" }], { compression: "zstd" })];
  for (const format of ["oci", "docker"] as const) {
    const image = buildImage({ layers, format, platform: parsePlatform("linux/arm/v6"), config: { Cmd: ["sh"] } });
    const document = parseManifestDocument(image.manifest.content as Uint8Array, image.manifest.mediaType);
    assert.ok(document.kind === "manifest");
    const config = parseConfig(image.config.content as Uint8Array);
    assert.deepEqual([config.platform, config.cmd], [{ os: "linux", architecture: "arm", variant: "v6" }, ["sh"]]);
    assert.deepEqual(
      matchLayers(document.manifest, config).map(({ descriptor, diffId }) => [descriptor.digest, diffId]),
      layers.map(({ digest, diffId }) => [digest, diffId]),
    );
  }
});

test("`buildImageIndex()` names each image by its platform", () => {
  const images = ["linux/amd64", "linux/arm64"].map((platform) => buildImage({ layers: [], platform: parsePlatform(platform) }));
  const index = buildImageIndex(images);
  const document = parseManifestDocument(index.manifest.content as Uint8Array);
  assert.ok(document.kind === "index");
  assert.equal(choosePlatform(document.manifests, parsePlatform("linux/arm64")).digest, imageFor(index, "linux/arm64").manifest.digest);
  assert.throws(() => imageFor(index, "linux/s390x"), RangeError);
  assert.equal(blobsOf(index).length, 5);
});

test("`startRegistry()` serves manifests, blobs, ranges, HEAD and tags, and records it", async () => {
  await using registry = await startRegistry();
  const layer = await buildLayer([{ path: "a", content: "x".repeat(5000) }], { compression: "none" });
  registry.push("r", "one", buildImage({ layers: [layer] }));
  registry.push("r", "two", buildImage({ layers: [layer], config: { Cmd: ["x"] } }));
  const url = `${registry.origin}/v2/r/blobs/${layer.digest}`;
  const part = await fetch(url, { headers: { range: "bytes=10-19" } });
  assert.equal(part.status, 206);
  assert.equal(part.headers.get("content-range"), `bytes 10-19/${layer.size}`);
  assert.deepEqual(Buffer.from(await part.arrayBuffer()), Buffer.from((layer.content as Uint8Array).subarray(10, 20)));
  assert.equal((await fetch(url, { headers: { range: `bytes=${layer.size}-` } })).status, 416);
  const head = await fetch(url, { method: "HEAD" });
  assert.equal(head.headers.get("content-length"), String(layer.size));
  assert.deepEqual(await (await fetch(`${registry.origin}/v2/r/tags/list`)).json(), { name: "r", tags: ["one", "two"] });
  assert.equal((await fetch(`${registry.origin}/v2/r/manifests/absent`)).status, 404);
  assert.equal((await fetch(`${registry.origin}/v2/r/manifests/${layer.digest}`)).status, 404);
  assert.deepEqual(
    registry.requests.map(({ status }) => status),
    [206, 416, 200, 200, 404, 404],
  );
  assert.equal(registry.bytesSent, 10);
});

test("`startRegistry()` serves a blob of several GiB that is generated on demand", async () => {
  const block = Buffer.alloc(1 << 20);
  const size = 5 * 2 ** 30 + 7;
  const content = async function* (offset: number): AsyncGenerator<Uint8Array> {
    for (let at = offset; at < size; at += block.length) yield block.subarray(0, Math.min(block.length, size - at));
  };
  await using registry = await startRegistry();
  const { digest } = await buildLayer([]);
  const blob = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size, content };
  registry.pushBlob("big", blob);
  const source = new RegistrySource({ plainHttp: true });
  const offset = size - 3_000_000;
  const bytes = await collect(source.readBlob(parseReference(`${registry.host}/big`), descriptorFor(blob), { offset }));
  await source.close();
  assert.equal(bytes.length, 3_000_000);
  assert.equal(registry.requests[0]?.headers["range"], `bytes=${offset}-${size - 1}`);
});

test("`fileBlob()` serves a file", async () => {
  const directory = await mkdtemp(join(tmpdir(), "shale-blob-"));
  const path = join(directory, "blob");
  await writeFile(path, "0123456789");
  const blob = await fileBlob(path, "application/octet-stream");
  await using registry = await startRegistry();
  registry.pushBlob("r", blob);
  const response = await fetch(`${registry.origin}/v2/r/blobs/${blob.digest}`, { headers: { range: "bytes=3-5" } });
  assert.equal(await response.text(), "345");
  await rm(directory, { recursive: true });
});

test("`TestRegistry` uses up its faults in order and closes twice", async () => {
  const registry = await startRegistry({ faults: [{ match: /tags/, action: { kind: "respond", status: 500 } }] });
  registry.push("r", "t", buildImage({ layers: [] }));
  registry.misbehave({ match: ({ path }) => path.includes("tags"), times: 2, action: { kind: "respond", status: 503 } });
  const statuses: number[] = [];
  for (let n = 0; n < 4; n++) statuses.push((await fetch(`${registry.origin}/v2/r/tags/list`)).status);
  assert.deepEqual(statuses, [500, 503, 503, 200]);
  await registry.close();
  await registry.close();
});

test("`TestRegistry` answers as many requests before a fault as `after` says", async () => {
  await using registry = await startRegistry();
  registry.push("r", "t", buildImage({ layers: [] }));
  registry.misbehave({ match: /tags/, after: 2, times: 1, action: { kind: "respond", status: 503 } });
  const statuses: number[] = [];
  for (let n = 0; n < 4; n++) statuses.push((await fetch(`${registry.origin}/v2/r/tags/list`)).status);
  assert.deepEqual(statuses, [200, 200, 503, 200]);
});

test("`TestRegistry` revokes its tokens at the matching request", async () => {
  await using registry = await startRegistry({ auth: { kind: "token" } });
  const image = buildImage({ layers: [await buildLayer(ENTRIES)] });
  const reference = parseReference(registry.push("r", "t", image));
  const source = new RegistrySource({ plainHttp: true, credentials: "anonymous", hostDirectories: [] });
  await source.resolve(reference);
  registry.misbehave({ match: /blobs/, action: { kind: "revoke-tokens" } });
  const bytes = await collect(source.readBlob(reference, descriptorFor(image.layers[0]!)));
  assert.equal(bytes.length, image.layers[0]!.size);
  assert.deepEqual(
    registry.requestsTo(/blobs/).map(({ status }) => status),
    [401, 200],
  );
  assert.equal(registry.requestsTo(/\/token/).length, 2);
  await source.close();
});

test("`TestRegistry` forwards to another registry and injects faults", async () => {
  await using real = await startRegistry({ auth: { kind: "basic", username: "u", password: "p" } });
  const image = buildImage({ layers: [await buildLayer(ENTRIES)] });
  real.push("r", "t", image);
  await using way = await startRegistry({ upstream: real.origin });
  const url = `${way.origin}/v2/r/blobs/${image.layers[0]!.digest}`;
  assert.equal((await fetch(url)).status, 401);
  const headers = { authorization: `Basic ${Buffer.from("u:p").toString("base64")}`, range: "bytes=10-19" };
  const part = await fetch(url, { headers });
  assert.deepEqual([part.status, part.headers.get("content-range")], [206, `bytes 10-19/${image.layers[0]!.size}`]);
  assert.equal((await part.arrayBuffer()).byteLength, 10);
  way.misbehave({ match: /blobs/, action: { kind: "ignore-range" } }, { match: /blobs/, action: { kind: "flip", at: 0 } });
  assert.equal((await fetch(url, { headers })).status, 200);
  const flipped = Buffer.from(await (await fetch(url, { headers })).arrayBuffer());
  const right = Buffer.from(image.layers[0]!.content as Uint8Array).subarray(10, 20);
  assert.equal(flipped[0]! ^ right[0]!, 1);
  assert.ok(flipped.subarray(1).equals(right.subarray(1)));
});
