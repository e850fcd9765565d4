/**
 * What `docker save` writes: a tar with a manifest.json that names, for each image, its config and its layers, uncompressed as a rule.
 * It has no image manifest, so one is composed, the same for the same image. What it says is no more than a claim: the config is
 * addressed by the digest of its bytes, and a plain layer by the diff ID in the config, against which the ingest checks it.
 */
import { createHash } from "node:crypto";
import { ShaleError } from "../../errors.ts";
import { SNIFF_BYTES, sniffCompression } from "../../image/compression.ts";
import { parseConfig } from "../../image/config.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { digestHex, parseBlobDigest, type BlobDigest, type DiffId } from "../../image/digest.ts";
import { MAX_CONFIG_BYTES, JsonObject, parseJson, quote, type Fail } from "../../image/document.ts";
import { DOCKER_CONFIG, DOCKER_MANIFEST } from "../../image/media-type.ts";
import { formatReference, parseReference } from "../../image/reference.ts";
import { readSmallFile, sourceInvalid } from "./layout-files.ts";
import { computeDigest } from "../registry/manifest-response.ts";
import { imageNotFound } from "./read-layout.ts";
import type { ManifestDocument } from "../source.ts";
import type { TarFiles, TarPlace } from "./tar-files.ts";

export const DOCKER_MANIFEST_FILE = "manifest.json";
const MAX_IMAGES = 10_000;
const HASH_BYTES: number = 1024 * 1024;
const LAYER = "application/vnd.docker.image.rootfs.diff.tar";

export interface DockerQuery {
  readonly reference: string;
  /** A name of the image, as a person writes it; without one the archive must have one image. */
  readonly tag?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DockerImage {
  readonly document: ManifestDocument;
  /** Where the config and the layers lie in the archive. */
  readonly blobs: ReadonlyMap<BlobDigest, TarPlace>;
  /** The first of the image's names. */
  readonly name: string | undefined;
}

interface SavedImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

/** @throws SOURCE_INVALID, IMAGE_NOT_FOUND, CONFIG_INVALID, DIGEST_MISMATCH when a config is not what its name says */
export async function readDockerImage(files: TarFiles, query: DockerQuery): Promise<DockerImage> {
  const saved = chooseImage(await readImages(files), files, query);
  const config = await readConfig(files, saved.config);
  const { diffIds } = parseConfig(config.bytes);
  if (diffIds.length !== saved.layers.length) {
    const message = `the image config has ${diffIds.length} diff IDs for ${saved.layers.length} layers; save the image again`;
    throw new ShaleError("CONFIG_INVALID", message, { digest: config.descriptor.digest });
  }
  const blobs = new Map<BlobDigest, TarPlace>([[config.descriptor.digest, config.place]]);
  const layers: Descriptor[] = [];
  const known = new Map<number, Descriptor>();
  for (const [index, name] of saved.layers.entries()) {
    const place = placeOf(files, name);
    const layer = known.get(place.offset) ?? (await layerAt(files, place, { diffId: diffIds[index]!, signal: query.signal }));
    if (layer.mediaType !== LAYER) known.set(place.offset, layer);
    const other = blobs.get(layer.digest);
    if (other && other.size !== layer.size) throw twoSizes(layer, other.size);
    blobs.set(layer.digest, place);
    layers.push(layer);
  }
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: DOCKER_MANIFEST, config: config.descriptor, layers }));
  const document = { bytes, descriptor: { mediaType: DOCKER_MANIFEST, digest: computeDigest(bytes), size: bytes.length } };
  return { document, blobs, name: saved.names[0] };
}

/** Two files for one layer: at most one of them is it. */
function twoSizes({ digest, size }: Descriptor, actual: number): ShaleError<"SIZE_MISMATCH"> {
  const message = `the archive has layer ${digest} with ${size} and with ${actual} bytes; save the image again`;
  return new ShaleError("SIZE_MISMATCH", message, { what: "blob", digest, expected: size, actual });
}

async function readImages(files: TarFiles): Promise<readonly SavedImage[]> {
  const fail: Fail = (problem, cause) => sourceInvalid(files.where, `: "${DOCKER_MANIFEST_FILE}" ${problem}`, cause);
  const bytes = await readSmallFile(files, DOCKER_MANIFEST_FILE);
  if (!bytes) throw sourceInvalid(files.where, `has neither "${DOCKER_MANIFEST_FILE}" nor "oci-layout"; is this what docker save wrote?`);
  const list = parseJson(bytes, fail);
  if (!Array.isArray(list) || list.length > MAX_IMAGES) throw fail(`is no list of at most ${MAX_IMAGES} images`);
  return list.map((entry: unknown, index) => {
    const fields = new JsonObject(entry, `[${index}]`, fail);
    return {
      config: fields.requiredString("Config"),
      names: fields.strings("RepoTags") ?? [],
      layers: fields.strings("Layers") ?? [],
    };
  });
}

/** The image of this name; without one the only one. */
function chooseImage(images: readonly SavedImage[], files: TarFiles, { reference, tag }: DockerQuery): SavedImage {
  const wanted = tag === undefined ? undefined : canonicalName(tag);
  const named = images.filter(({ names }) => wanted === undefined || names.some((name) => name === tag || canonicalName(name) === wanted));
  const [first, ...others] = named;
  if (first !== undefined && others.length === 0) return first;
  const problem = `${quote(files.where)} does not have ${tag === undefined ? "exactly one image" : `exactly one image ${quote(tag)}`}`;
  throw imageNotFound(reference, problem, { count: images.length, tags: images.flatMap(({ names }) => names) });
}

/** `docker.io/library/alpine:latest` for `alpine`; undefined for what is no name in a registry. */
export function canonicalName(text: string): string | undefined {
  try {
    const reference = parseReference(text);
    return reference.transport === "docker" ? formatReference(reference) : undefined;
  } catch (error) {
    if (ShaleError.is(error, "REFERENCE_INVALID")) return undefined;
    throw error;
  }
}

async function readConfig(files: TarFiles, name: string): Promise<{ bytes: Buffer; descriptor: Descriptor; place: TarPlace }> {
  const place = placeOf(files, name);
  if (place.size > MAX_CONFIG_BYTES)
    throw sourceInvalid(files.where, `: the config ${quote(name)} has more than ${MAX_CONFIG_BYTES} bytes`);
  const bytes = await readSmallFile(files, name);
  if (!bytes) throw sourceInvalid(files.where, `has no ${quote(name)}`);
  const digest = computeDigest(bytes);
  const claim = /^(?:.*\/)?([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  if (claim === undefined || claim === digestHex(digest))
    return { bytes, place, descriptor: { mediaType: DOCKER_CONFIG, digest, size: bytes.length } };
  const message = `the image config ${quote(name)} is ${digest}, not what its name says; save the image again`;
  throw new ShaleError("DIGEST_MISMATCH", message, { what: "config", expected: `sha256:${claim}`, actual: digest });
}

function placeOf(files: TarFiles, name: string): TarPlace {
  const place = files.find(name);
  if (place) return place;
  throw sourceInvalid(files.where, `has no ${quote(name)}, which its ${DOCKER_MANIFEST_FILE} names; save the image again`);
}

/** A plain layer's blob is the layer: its digest is the diff ID. Of a compressed one the digest is computed. */
async function layerAt(
  files: TarFiles,
  place: TarPlace,
  { diffId, signal }: { diffId: DiffId; signal: AbortSignal | undefined },
): Promise<Descriptor> {
  const head = Buffer.alloc(SNIFF_BYTES);
  await files.openAt(place).read(head, 0, head.length, 0);
  const compression = sniffCompression(head);
  if (compression === "none") return { mediaType: LAYER, digest: parseBlobDigest(diffId), size: place.size };
  return { mediaType: `${LAYER}.${compression}`, digest: await digestAt(files, place, signal), size: place.size };
}

async function digestAt(files: TarFiles, place: TarPlace, signal: AbortSignal | undefined): Promise<BlobDigest> {
  const file = files.openAt(place);
  const digest = createHash("sha256");
  const buffer = Buffer.allocUnsafe(Math.min(HASH_BYTES, Math.max(1, place.size)));
  for (let at = 0; at < place.size;) {
    signal?.throwIfAborted();
    const bytesRead = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw sourceInvalid(files.where, "became shorter while it was read");
    digest.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return parseBlobDigest(`sha256:${digest.digest("hex")}`);
}
