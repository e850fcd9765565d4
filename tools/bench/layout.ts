/** OCI image layouts, read and written as the benchmark's images need it: one image of gzip layers for a tag. */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

export interface LayoutImage {
  readonly directory: string;
  readonly tag: string;
}

export interface LayerBlob {
  /** `sha256:...` of the blob. */
  readonly digest: string;
  readonly size: number;
}

export interface NewLayer extends LayerBlob {
  readonly diffId: string;
}

type Json = Record<string, unknown>;

const REF_NAME = "org.opencontainers.image.ref.name";
const TYPES = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;

export function blobPath({ directory }: { readonly directory: string }, digest: string): string {
  return join(directory, "blobs/sha256", digest.replace("sha256:", ""));
}

export async function readLayers(image: LayoutImage): Promise<readonly LayerBlob[]> {
  return ((await readManifest(image))["layers"] as LayerBlob[]).map(({ digest, size }) => ({ digest, size }));
}

/** The config as it is, but with these layers and no history. The layers' blobs are there already. */
export async function writeImage(image: LayoutImage, from: LayoutImage, layers: readonly NewLayer[]): Promise<void> {
  const { digest } = (await readManifest(from))["config"] as { digest: string };
  const { history: _, ...config } = JSON.parse(await readFile(blobPath(from, digest), "utf8")) as Json;
  const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
  const configBlob = await writeJson(image, { ...config, rootfs });
  const manifest = await writeJson(image, {
    schemaVersion: 2,
    mediaType: TYPES.manifest,
    config: { mediaType: TYPES.config, ...configBlob },
    layers: layers.map(({ digest, size }) => ({ mediaType: TYPES.layer, digest, size })),
  });
  const descriptor = { mediaType: TYPES.manifest, ...manifest, annotations: { [REF_NAME]: image.tag } };
  const index = { schemaVersion: 2, mediaType: TYPES.index, manifests: [descriptor] };
  await writeFile(join(image.directory, "index.json"), JSON.stringify(index));
  await writeFile(join(image.directory, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
}

async function readManifest(image: LayoutImage): Promise<Json> {
  const index = JSON.parse(await readFile(join(image.directory, "index.json"), "utf8")) as {
    manifests: { digest: string; annotations?: Record<string, string> }[];
  };
  const found = index.manifests.find(({ annotations }) => annotations?.[REF_NAME] === image.tag);
  if (!found) throw new Error(`read the layout ${image.directory}: it has no tag "${image.tag}"`);
  return JSON.parse(await readFile(blobPath(image, found.digest), "utf8")) as Json;
}

async function writeJson(image: LayoutImage, value: Json): Promise<LayerBlob> {
  const text = JSON.stringify(value);
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  await mkdir(join(image.directory, "blobs/sha256"), { recursive: true });
  await writeFile(blobPath(image, digest), text);
  return { digest, size: Buffer.byteLength(text) };
}
