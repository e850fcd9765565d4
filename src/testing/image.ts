/** Images and image indexes for tests. */
import { DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../image/media-type.ts";
import { formatPlatform, hostPlatform, type Platform } from "../image/platform.ts";
import { bytesBlob, type TestBlob } from "./blob.ts";
import type { TestLayer } from "./layer.ts";

export interface TestImage {
  readonly platform: Platform;
  readonly manifest: TestBlob;
  readonly config: TestBlob;
  /** Bottom to top. */
  readonly layers: readonly TestLayer[];
}

export interface TestImageIndex {
  /** The image index itself. */
  readonly manifest: TestBlob;
  readonly images: readonly TestImage[];
}

export interface ImageOptions {
  /** Bottom to top. */
  readonly layers: readonly TestLayer[];
  /** The `config` object of the image config, as OCI writes it: `{ Cmd: ["sh"] }`. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Default: the host's platform. */
  readonly platform?: Platform;
  /** Default: `oci`. */
  readonly format?: "oci" | "docker";
  /** Fields that are added to the manifest or replace its own. */
  readonly manifest?: Readonly<Record<string, unknown>>;
}

export function buildImage(options: ImageOptions): TestImage {
  const { layers, platform = hostPlatform(), format = "oci" } = options;
  const config = jsonBlob(format === "oci" ? OCI_CONFIG : DOCKER_CONFIG, {
    ...platformFields(platform),
    created: "1970-01-01T00:00:00Z",
    config: options.config ?? {},
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(() => ({ created: "1970-01-01T00:00:00Z", created_by: "test" })),
  });
  const mediaType = format === "oci" ? OCI_MANIFEST : DOCKER_MANIFEST;
  const manifest = jsonBlob(mediaType, {
    schemaVersion: 2,
    mediaType,
    config: descriptorOf(config),
    layers: layers.map((layer) => ({ ...descriptorOf(layer), mediaType: layerType(layer.mediaType, format) })),
    ...options.manifest,
  });
  return { platform, manifest, config, layers };
}

/** Builds an image index of images for several platforms, in this order; `entries` are raw descriptors before them. */
export function buildImageIndex(
  images: readonly TestImage[],
  options: { format?: "oci" | "docker"; entries?: readonly unknown[] } = {},
): TestImageIndex {
  const mediaType = options.format === "docker" ? DOCKER_LIST : OCI_INDEX;
  const manifests = images.map((image) => ({ ...descriptorOf(image.manifest), platform: platformFields(image.platform) }));
  return { manifest: jsonBlob(mediaType, { schemaVersion: 2, mediaType, manifests: [...(options.entries ?? []), ...manifests] }), images };
}

/** The image of an image index for a platform (`os/arch[/variant]`). */
export function imageFor(index: TestImageIndex, platform: string): TestImage {
  const image = index.images.find((candidate) => formatPlatform(candidate.platform) === platform);
  if (image === undefined) throw new RangeError(`the image index has no image for ${platform}`);
  return image;
}

export function jsonBlob(mediaType: string, value: unknown): TestBlob {
  return bytesBlob(Buffer.from(JSON.stringify(value)), mediaType);
}

/** All blobs of an image or image index, manifests last. */
export function blobsOf(image: TestImage | TestImageIndex): readonly TestBlob[] {
  if ("images" in image) return [...image.images.flatMap((child) => blobsOf(child)), image.manifest];
  return [...image.layers, image.config, image.manifest];
}

export function descriptorOf(blob: TestBlob): { mediaType: string; digest: string; size: number } {
  return { mediaType: blob.mediaType, digest: blob.digest, size: blob.size };
}

function platformFields(platform: Platform): Record<string, string | readonly string[]> {
  const { os, architecture, variant, osVersion, osFeatures } = platform;
  return {
    os,
    architecture,
    ...(variant !== undefined && { variant }),
    ...(osVersion !== undefined && { "os.version": osVersion }),
    ...(osFeatures !== undefined && { "os.features": osFeatures }),
  };
}

function layerType(mediaType: string, format: "oci" | "docker"): string {
  if (format === "oci") return mediaType;
  return mediaType.replace("application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar").replace("+", ".");
}
