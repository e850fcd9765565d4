/** Image manifests and image indexes, OCI and Docker schema 2, in one shape. */
import { ShaleError } from "../errors.ts";
import type { ImageConfig } from "./config.ts";
import { manifestInvalid, parseDescriptor, type Descriptor } from "./descriptor.ts";
import type { DiffId } from "./digest.ts";
import { JsonObject, parseJson, quote } from "./document.ts";
import {
  DOCKER_CONFIG,
  DOCKER_MANIFEST,
  isIndexMediaType,
  isManifestMediaType,
  layerCompression,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from "./media-type.ts";

/** `layers` are in order, bottom to top. */
export interface Manifest {
  readonly mediaType: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

export type ManifestDocumentContent =
  | { readonly kind: "manifest"; readonly mediaType: string; readonly manifest: Manifest }
  | { readonly kind: "index"; readonly mediaType: string; readonly manifests: readonly Descriptor[] };

/** A layer with both its digests: that of the blob to fetch, and the diff ID that it must unpack to. */
export interface LayerIdentity {
  readonly descriptor: Descriptor;
  readonly diffId: DiffId;
}

/**
 * Reads a manifest or an image index. Its `mediaType` decides which; without one `contentType` (a Content-Type header or a descriptor's
 * mediaType, parameters ignored), then its fields. A document with fields of both kinds is refused.
 *
 * @throws MANIFEST_INVALID, MANIFEST_UNSUPPORTED (schema 1, artifacts), LAYER_UNSUPPORTED
 */
export function parseManifestDocument(bytes: Uint8Array, contentType?: string): ManifestDocumentContent {
  const fields = new JsonObject(parseJson(bytes, manifestInvalid), "document", manifestInvalid);
  const mediaType = documentMediaType(fields, contentType);
  const version = fields.get("schemaVersion");
  if (version !== 2) throw fields.error("schemaVersion", "is not 2");
  if (isIndexMediaType(mediaType)) return { kind: "index", mediaType, manifests: parseIndex(fields) };
  return { kind: "manifest", mediaType, manifest: parseManifest(fields, mediaType) };
}

/**
 * Pairs each layer of a manifest with its diff ID, bottom to top.
 *
 * @throws CONFIG_INVALID unless the config has exactly one diff ID per layer
 */
export function matchLayers(manifest: Manifest, config: ImageConfig): readonly LayerIdentity[] {
  const { layers } = manifest;
  const { diffIds } = config;
  const pairs = layers.flatMap((descriptor, index) => {
    const diffId = diffIds[index];
    return diffId === undefined ? [] : [{ descriptor, diffId }];
  });
  if (pairs.length === layers.length && pairs.length === diffIds.length) return pairs;
  const message = `the image config has ${diffIds.length} diff IDs for ${layers.length} layers; the image is damaged, build it again`;
  throw new ShaleError("CONFIG_INVALID", message, { digest: manifest.config.digest });
}

function documentMediaType(fields: JsonObject, contentType: string | undefined): string {
  const declared = fields.string("mediaType");
  const hinted = contentType?.split(";", 1)[0]?.trim().toLowerCase();
  const hint = hinted !== undefined && isManifestMediaType(hinted) ? hinted : undefined;
  if (declared !== undefined && hint !== undefined && declared !== hint) {
    throw fields.error("mediaType", `is ${quote(declared)}, but the document was served as ${hint}`);
  }
  const named = declared ?? hint;
  if (named === undefined && (fields.get("schemaVersion") === 1 || fields.has("fsLayers")))
    throw unsupported("schema 1", "docker schema 1");
  if (named === undefined) return fields.has("manifests") ? OCI_INDEX : OCI_MANIFEST;
  if (!isManifestMediaType(named)) throw unsupported(quote(named), named);
  return named;
}

function parseIndex(fields: JsonObject): readonly Descriptor[] {
  refuseFields(fields, ["config", "layers", "fsLayers"]);
  const manifests = fields.array("manifests");
  if (manifests === undefined) throw fields.error("manifests", "is missing");
  return manifests.map((entry, index) => parseDescriptor(entry, `manifests[${index}]`));
}

function parseManifest(fields: JsonObject, mediaType: string): Manifest {
  refuseFields(fields, ["manifests", "fsLayers"]);
  const config = parseDescriptor(fields.get("config"), "config");
  if (!isConfigType(config.mediaType, mediaType)) throw unsupported(`its config is ${quote(config.mediaType)}`, config.mediaType);
  const layers = fields.array("layers");
  if (layers === undefined) throw fields.error("layers", "is missing");
  const annotations = fields.stringMap("annotations");
  return {
    mediaType,
    config,
    layers: layers.map((layer, index) => parseLayer(layer, index)),
    ...(annotations && { annotations }),
  };
}

function parseLayer(value: unknown, index: number): Descriptor {
  const descriptor = parseDescriptor(value, `layers[${index}]`);
  if (layerCompression(descriptor.mediaType) !== undefined) return descriptor;
  const { mediaType } = descriptor;
  const why = /encrypted/.test(mediaType) ? "encrypted layers are not supported" : "expected a tar layer, plain, gzip or zstd";
  throw new ShaleError("LAYER_UNSUPPORTED", `layer ${index} has the media type ${quote(mediaType)}; ${why}`, { mediaType });
}

/** Docker wrote application/octet-stream before it had a media type for configs. */
function isConfigType(type: string, manifestType: string): boolean {
  return type === OCI_CONFIG || type === DOCKER_CONFIG || (manifestType === DOCKER_MANIFEST && type === "application/octet-stream");
}

/** Refuses fields of the other kind: two readers could take the same document for different kinds (CVE-2021-41190). */
function refuseFields(fields: JsonObject, names: readonly string[]): void {
  for (const name of names) {
    if (fields.has(name)) throw fields.error(name, "does not belong to a document of this kind");
  }
}

function unsupported(what: string, mediaType: string): ShaleError<"MANIFEST_UNSUPPORTED"> {
  const message = `the manifest is not an image that shale supports (${what}); expected an OCI or Docker schema 2 image`;
  return new ShaleError("MANIFEST_UNSUPPORTED", message, { mediaType: mediaType.slice(0, 200) });
}
