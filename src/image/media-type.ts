/** The media types of images: OCI's, and those of Docker's schema 2. */
import type { Compression } from "./compression.ts";

export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
export const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
export const DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";

const MANIFEST_TYPES: ReadonlySet<string> = new Set([OCI_MANIFEST, DOCKER_MANIFEST]);
const INDEX_TYPES: ReadonlySet<string> = new Set([OCI_INDEX, DOCKER_LIST]);

const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
const OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
const DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar";

const LAYER_TYPES: ReadonlyMap<string, Compression> = new Map<string, Compression>([
  ...[OCI_LAYER, OCI_FOREIGN, DOCKER_LAYER, DOCKER_FOREIGN].map((type): [string, Compression] => [type, "none"]),
  [`${OCI_LAYER}+gzip`, "gzip"],
  [`${OCI_LAYER}+zstd`, "zstd"],
  [`${OCI_FOREIGN}+gzip`, "gzip"],
  [`${OCI_FOREIGN}+zstd`, "zstd"],
  [`${DOCKER_LAYER}.gzip`, "gzip"],
  [`${DOCKER_LAYER}.zstd`, "zstd"],
  [`${DOCKER_FOREIGN}.gzip`, "gzip"],
  [`${DOCKER_FOREIGN}.zstd`, "zstd"],
]);

/** True for an image manifest or an image index. */
export function isManifestMediaType(mediaType: string): boolean {
  return MANIFEST_TYPES.has(mediaType) || INDEX_TYPES.has(mediaType);
}

export function isIndexMediaType(mediaType: string): boolean {
  return INDEX_TYPES.has(mediaType);
}

/** The compression that a media type names, which the blob need not have; undefined if it is not the media type of a layer. */
export function layerCompression(mediaType: string): Compression | undefined {
  return LAYER_TYPES.get(mediaType);
}

/** The Accept header of manifest requests, best first. */
export const MANIFEST_ACCEPT: string = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].join(", ");
