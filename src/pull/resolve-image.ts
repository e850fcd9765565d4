/** Resolves a reference to the verified manifest and config of one image. */
import { ShaleError } from "../errors.ts";
import { parseConfig, type ImageConfig } from "../image/config.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { computeDigest } from "../image/compute-digest.ts";
import { digestMismatch, type BlobDigest } from "../image/digest.ts";
import { matchLayers, parseManifestDocument, type LayerIdentity, type Manifest } from "../image/manifest.ts";
import { choosePlatform, refusePlatform } from "../image/choose-platform.ts";
import type { Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";
import type { ManifestDocument, Source, SourceEvent, SourceOptions } from "../source/source.ts";
import type { Images } from "../store/images.ts";
import { findVerified } from "../store/verified-document.ts";
import type { Limits } from "./limits.ts";

/** Called with the image's manifest before any layer is fetched; what it throws fails the pull. */
export type VerifyManifest = (descriptor: Descriptor, bytes: Uint8Array) => void | Promise<void>;

export interface ResolvedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly manifest: Manifest;
  /** The digest of the document that the reference names: this manifest, or an image index. */
  readonly named: BlobDigest;
  /** True if an image index named the platform. It precedes the config's, which tools that copy images often leave wrong. */
  readonly chosen: boolean;
}

export interface ResolvedConfig {
  readonly bytes: Buffer;
  readonly config: ImageConfig;
  readonly layers: readonly LayerIdentity[];
  /** False if the store had it. */
  readonly fetched: boolean;
}

export async function resolveManifest(
  source: Source,
  reference: Reference,
  { platform, limits, ...options }: { platform: Platform; limits: Limits } & SourceOptions,
): Promise<ResolvedManifest> {
  let document: ManifestDocument = await source.resolve(reference, options);
  const named = document.descriptor.digest;
  let chosen = false;
  for (let depth = 0; depth <= limits.indexDepth; depth++) {
    refuseLarge(document, limits.manifestBytes);
    const content = parseManifestDocument(document.bytes, document.descriptor.mediaType);
    if (content.kind === "manifest") {
      refuseLayers(content.manifest, limits.imageLayers);
      return { ...document, manifest: content.manifest, named, chosen };
    }
    if (depth === limits.indexDepth) break;
    const entry = choosePlatform(content.manifests, platform);
    chosen = entry.platform !== undefined;
    document = await source.readManifest(reference, entry, options);
  }
  const message = `image indexes are nested more than ${limits.indexDepth} deep; raise \`limits.indexDepth\` if the image is trusted`;
  throw new ShaleError("LIMIT_INDEX_DEPTH", message, { limit: "indexDepth", maximum: limits.indexDepth });
}

/** Sources read no more than the default limit; a caller may set a lower one. */
function refuseLarge({ descriptor: { digest }, bytes }: ManifestDocument, limit: number): void {
  if (bytes.length <= limit) return;
  throw new ShaleError("MANIFEST_TOO_LARGE", `manifest ${digest} has ${bytes.length} bytes, more than the limit of ${limit}`, { limit });
}

function refuseLayers({ layers }: Manifest, maximum: number): void {
  if (layers.length <= maximum) return;
  const message = `the image has ${layers.length} layers, more than the limit of ${maximum}; raise \`limits.imageLayers\` if it is trusted`;
  throw new ShaleError("LIMIT_IMAGE_LAYERS", message, { limit: "imageLayers", maximum });
}

export interface ConfigRequest {
  readonly manifest: Pick<ResolvedManifest, "manifest" | "chosen">;
  readonly platform: Platform;
  readonly images: Images;
  /** Fetch it although the store has it. */
  readonly force: boolean;
  readonly limits: Limits;
  readonly signal: AbortSignal;
  readonly onEvent?: SourceOptions["onEvent"];
}

/** The image config: from the store if intact, otherwise from the source; verified in both cases. */
export async function resolveConfig(
  source: Source,
  reference: Reference,
  { manifest: { manifest, chosen }, platform, images, force, limits, ...options }: ConfigRequest,
): Promise<ResolvedConfig> {
  const { config: descriptor } = manifest;
  const kept = force ? undefined : findVerified(images, "config", descriptor.digest);
  const bytes = kept ?? (await fetchConfig(source, reference, { descriptor, maximum: limits.configBytes, ...options }));
  const config = parseConfig(bytes);
  if (!chosen) refusePlatform(config.platform, platform);
  return { bytes, config, layers: matchLayers(manifest, config), fetched: kept === undefined };
}

/** A manifest of the store with its descriptor; undefined if missing or damaged. */
export function readStoredManifest(images: Images, digest: BlobDigest): ManifestDocument | undefined {
  const bytes = findVerified(images, "manifest", digest);
  if (bytes === undefined) return undefined;
  const { mediaType } = parseManifestDocument(bytes);
  return { bytes, descriptor: { mediaType, digest, size: bytes.length } };
}

/** Wrong bytes are fetched once more, from another host if there is one. */
async function fetchConfig(source: Source, reference: Reference, request: ConfigFetch): Promise<Buffer> {
  const avoid = new Set<string>();
  const onEvent = (event: SourceEvent): void => {
    if (event.kind === "serving") avoid.add(event.host);
    request.onEvent?.(event);
  };
  try {
    return await fetchConfigOnce(source, reference, { ...request, onEvent });
  } catch (error) {
    if (!ShaleError.is(error, "DIGEST_MISMATCH") && !ShaleError.is(error, "SIZE_MISMATCH")) throw error;
    onEvent({ kind: "retrying", host: [...avoid].join(" "), code: error.code, message: error.message, delayMs: 0 });
    return fetchConfigOnce(source, reference, { ...request, avoid });
  }
}

interface ConfigFetch extends SourceOptions {
  readonly descriptor: Descriptor;
  /** Bytes. */
  readonly maximum: number;
}

async function fetchConfigOnce(source: Source, reference: Reference, { descriptor, maximum, ...options }: ConfigFetch): Promise<Buffer> {
  const { digest: expected, size } = descriptor;
  if (size > maximum) {
    const message = `the image config is ${size} bytes, more than the limit of ${maximum}; raise \`limits.configBytes\` if the image is trusted`;
    throw new ShaleError("LIMIT_CONFIG_BYTES", message, { limit: "configBytes", maximum });
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of source.readBlob(reference, descriptor, options)) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  const actual = computeDigest(bytes, expected);
  if (actual === expected) return bytes;
  const advice = "the registry or the connection damaged it, pull again";
  throw digestMismatch({ what: "config", expected, actual, subject: "the image config", advice });
}
