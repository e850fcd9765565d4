/**
 * Reads the format of `docker save`: a tar whose manifest.json names the config and the layers of each image; the layers are usually
 * uncompressed. It has no image manifest, so one is composed, the same for equal images. Nothing in it is trusted: the config is named by
 * the digest of its bytes, and an uncompressed layer by the diff ID in the config, which ingest verifies.
 */
import { createHash } from "node:crypto";
import { ShaleError } from "../../errors.ts";
import { SNIFF_BYTES, sniffCompression } from "../../image/compression.ts";
import { computeDigest } from "../../image/compute-digest.ts";
import { parseConfig } from "../../image/config.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { digestHex, digestMismatch, parseBlobDigest, type BlobDigest, type DiffId } from "../../image/digest.ts";
import { MAX_CONFIG_BYTES, JsonObject, parseJson, quote, type Fail } from "../../image/document.ts";
import { DOCKER_CONFIG, DOCKER_MANIFEST } from "../../image/media-type.ts";
import { formatReference, parseReference } from "../../image/reference.ts";
import { readSmallFile, sourceInvalid } from "./layout-files.ts";
import { imageNotFound } from "./read-layout.ts";
import type { ManifestDocument } from "../source.ts";
import type { EntryLocation, TarFiles } from "./tar-files.ts";

export const DOCKER_MANIFEST_FILE = "manifest.json";
const MAX_IMAGES = 10_000;
const HASH_BYTES: number = 1024 * 1024;
const LAYER = "application/vnd.docker.image.rootfs.diff.tar";

export interface DockerQuery {
  readonly reference: string;
  /** The image's name as the user wrote it; without a name the archive must have exactly one image. */
  readonly tag?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DockerImage {
  readonly document: ManifestDocument;
  /** The locations of the config and the layers in the archive. */
  readonly blobs: ReadonlyMap<BlobDigest, EntryLocation>;
  /** The first name of the image. */
  readonly name: string | undefined;
}

interface SavedImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

/** @throws SOURCE_INVALID, IMAGE_NOT_FOUND, CONFIG_INVALID, DIGEST_MISMATCH if the config does not have the digest in its name */
export async function readDockerImage(files: TarFiles, query: DockerQuery): Promise<DockerImage> {
  const saved = chooseImage(await readImages(files), files, query);
  const config = await readConfig(files, saved.config);
  const { diffIds } = parseConfig(config.bytes);
  if (diffIds.length !== saved.layers.length) {
    const message = `the image config has ${diffIds.length} diff IDs for ${saved.layers.length} layers; save the image again`;
    throw new ShaleError("CONFIG_INVALID", message, { digest: config.descriptor.digest });
  }
  const blobs = new Map<BlobDigest, EntryLocation>([[config.descriptor.digest, config.location]]);
  const layers: Descriptor[] = [];
  const known = new Map<number, Descriptor>();
  for (const [index, name] of saved.layers.entries()) {
    const location = locate(files, name);
    const layer = known.get(location.offset) ?? (await describeLayer(files, location, { diffId: diffIds[index]!, signal: query.signal }));
    if (layer.mediaType !== LAYER) known.set(location.offset, layer);
    const other = blobs.get(layer.digest);
    if (other && other.size !== layer.size) throw twoSizes(layer, other.size);
    blobs.set(layer.digest, location);
    layers.push(layer);
  }
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: DOCKER_MANIFEST, config: config.descriptor, layers }));
  const document = { bytes, descriptor: { mediaType: DOCKER_MANIFEST, digest: computeDigest(bytes), size: bytes.length } };
  return { document, blobs, name: saved.names[0] };
}

/** The error for two files of one layer: at most one of them is right. */
function twoSizes({ digest, size }: Descriptor, actual: number): ShaleError<"SIZE_MISMATCH"> {
  const message = `the archive has layer ${digest} with ${size} and with ${actual} bytes; save the image again`;
  return new ShaleError("SIZE_MISMATCH", message, { what: "blob", digest, expected: size, actual });
}

async function readImages(files: TarFiles): Promise<readonly SavedImage[]> {
  const fail: Fail = (problem, cause) => sourceInvalid(files.where, `: "${DOCKER_MANIFEST_FILE}" ${problem}`, cause);
  const bytes = await readSmallFile(files, DOCKER_MANIFEST_FILE);
  if (!bytes)
    throw sourceInvalid(files.where, `has neither "${DOCKER_MANIFEST_FILE}" nor "oci-layout"; it is not an archive of docker save`);
  const list = parseJson(bytes, fail);
  if (!Array.isArray(list) || list.length > MAX_IMAGES) throw fail(`is not a list of at most ${MAX_IMAGES} images`);
  return list.map((entry: unknown, index) => {
    const fields = new JsonObject(entry, `[${index}]`, fail);
    return {
      config: fields.requiredString("Config"),
      names: fields.strings("RepoTags") ?? [],
      layers: fields.strings("Layers") ?? [],
    };
  });
}

/** The image with the name; without a name, the only image. */
function chooseImage(images: readonly SavedImage[], files: TarFiles, { reference, tag }: DockerQuery): SavedImage {
  const wanted = tag === undefined ? undefined : canonicalName(tag);
  const named = images.filter(({ names }) => wanted === undefined || names.some((name) => name === tag || canonicalName(name) === wanted));
  const [first, ...others] = named;
  if (first !== undefined && others.length === 0) return first;
  const problem = `${quote(files.where)} does not have ${tag === undefined ? "exactly one image" : `exactly one image ${quote(tag)}`}`;
  throw imageNotFound(reference, problem, { count: images.length, tags: images.flatMap(({ names }) => names) });
}

/** `docker.io/library/alpine:latest` for `alpine`; undefined if the text does not name an image in a registry. */
export function canonicalName(text: string): string | undefined {
  try {
    const reference = parseReference(text);
    return reference.transport === "docker" ? formatReference(reference) : undefined;
  } catch (error) {
    if (ShaleError.is(error, "REFERENCE_INVALID")) return undefined;
    throw error;
  }
}

async function readConfig(files: TarFiles, name: string): Promise<{ bytes: Buffer; descriptor: Descriptor; location: EntryLocation }> {
  const location = locate(files, name);
  if (location.size > MAX_CONFIG_BYTES)
    throw sourceInvalid(files.where, `: the config ${quote(name)} is larger than ${MAX_CONFIG_BYTES} bytes`);
  const bytes = await readSmallFile(files, name);
  if (!bytes) throw sourceInvalid(files.where, `has no ${quote(name)}`);
  const digest = computeDigest(bytes);
  const claim = /^(?:.*\/)?([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  if (claim === undefined || claim === digestHex(digest))
    return { bytes, location, descriptor: { mediaType: DOCKER_CONFIG, digest, size: bytes.length } };
  const subject = `the image config ${quote(name)}`;
  throw digestMismatch({ what: "config", expected: `sha256:${claim}`, actual: digest, subject, advice: "save the image again" });
}

function locate(files: TarFiles, name: string): EntryLocation {
  const location = files.find(name);
  if (location) return location;
  throw sourceInvalid(files.where, `has no ${quote(name)}, which its ${DOCKER_MANIFEST_FILE} names; save the image again`);
}

/** The blob of an uncompressed layer is the layer itself, so its digest is the diff ID. The digest of a compressed one is computed. */
async function describeLayer(
  files: TarFiles,
  location: EntryLocation,
  { diffId, signal }: { diffId: DiffId; signal: AbortSignal | undefined },
): Promise<Descriptor> {
  const head = Buffer.alloc(SNIFF_BYTES);
  await files.openAt(location).read(head, 0, head.length, 0);
  const compression = sniffCompression(head);
  if (compression === "none") return { mediaType: LAYER, digest: parseBlobDigest(diffId), size: location.size };
  return { mediaType: `${LAYER}.${compression}`, digest: await digestAt(files, location, signal), size: location.size };
}

async function digestAt(files: TarFiles, location: EntryLocation, signal: AbortSignal | undefined): Promise<BlobDigest> {
  const file = files.openAt(location);
  const digest = createHash("sha256");
  const buffer = Buffer.allocUnsafe(Math.min(HASH_BYTES, Math.max(1, location.size)));
  for (let at = 0; at < location.size;) {
    signal?.throwIfAborted();
    const bytesRead = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw sourceInvalid(files.where, "became shorter while it was read; try again");
    digest.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return parseBlobDigest(`sha256:${digest.digest("hex")}`);
}
