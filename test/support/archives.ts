/** Archives of images, as other tools write them, in memory. */
import { digestHex } from "../../src/image/digest.ts";
import { buildLayer, type TestEntry, type TestImage, type TestLayer } from "../../src/testing/index.ts";
import { gunzipSync } from "node:zlib";

/** The bytes of a tar with these entries, duplicates and all. */
export async function tarOf(entries: readonly TestEntry[]): Promise<Buffer> {
  return bytesOf(await buildLayer(entries, { compression: "none" }));
}

export function bytesOf({ content }: { readonly content: unknown }): Buffer {
  if (content instanceof Uint8Array) return Buffer.from(content);
  throw new TypeError("the blob is not in memory");
}

/** The entries of an OCI image layout: with `docker`, as containerd's image store has them. */
export function layoutEntries(image: TestImage, tag?: string, annotations: Readonly<Record<string, string>> = {}): TestEntry[] {
  const { mediaType, digest, size } = image.manifest;
  const names = { ...(tag !== undefined && { "org.opencontainers.image.ref.name": tag }), ...annotations };
  const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size, annotations: names }] };
  const blobs = [...new Map([...image.layers, image.config, image.manifest].map((blob) => [blob.digest, blob])).values()];
  return [
    { path: "oci-layout", content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", content: JSON.stringify(index) },
    ...blobs.map((blob): TestEntry => ({ path: `blobs/sha256/${digestHex(blob.digest)}`, content: bytesOf(blob) })),
  ];
}

/** What `docker save` wrote before version 25: a directory a layer, and a symlink for a layer that was there already. */
export function dockerEntries(image: TestImage, names: readonly string[] = []): TestEntry[] {
  const config = `${digestHex(image.config.digest)}.json`;
  const seen = new Map<string, string>();
  const entries: TestEntry[] = [];
  const layers = image.layers.map((layer, index) => {
    const path = `layer${index}/layer.tar`;
    const first = seen.get(layer.diffId);
    seen.set(layer.diffId, path);
    entries.push({ path: `layer${index}/`, type: "directory" }, { path: `layer${index}/VERSION`, content: "1.0" });
    entries.push(first === undefined ? { path, content: plain(layer) } : { path, type: "symlink", target: `../${first}` });
    return path;
  });
  const manifest = [{ Config: config, RepoTags: names, Layers: layers }];
  return [...entries, { path: config, content: bytesOf(image.config) }, { path: "manifest.json", content: JSON.stringify(manifest) }];
}

/** The layer's uncompressed bytes. */
export function plain(layer: TestLayer): Buffer {
  return layer.mediaType.endsWith("+gzip") ? gunzipSync(bytesOf(layer)) : bytesOf(layer);
}
