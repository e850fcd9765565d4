/** What `exportImage` does: each blob settled, a manifest for them, and all of it written. */
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ArchiveSink } from "./archive-sink.ts";
import { compressLayer } from "./compress-layer.ts";
import { exportLayer } from "./export-layer.ts";
import type { ExportBlob, ExportedImage, ExportSink } from "./export-sink.ts";
import { LayoutSink } from "./layout-sink.ts";
import { isErrno, ShaleError } from "../errors.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { digestAlgorithm, parseBlobDigest, type BlobDigest, type DiffId } from "../image/digest.ts";
import { parseManifestDocument } from "../image/manifest.ts";
import { layerCompression, OCI_CONFIG, OCI_MANIFEST, type Compression } from "../image/media-type.ts";
import { parseReference, type ArchiveReference, type LayoutReference } from "../image/reference.ts";
import type { ImageLayer, ImageRecord } from "../store/images.ts";
import { storeError } from "../store/store-error.ts";
import { destinationError } from "../view/destination.ts";
import { readStoredManifest } from "../pull/resolve-image.ts";
import type { StoreCore } from "../session/store-core.ts";
import type { ExportImageOptions, ExportResult } from "../api/export-image.ts";

export interface ExportContext {
  readonly core: StoreCore;
  readonly record: ImageRecord;
  /** What the image is called. */
  readonly name: string;
}

export async function exportImageOf(context: ExportContext, destination: string, options: ExportImageOptions): Promise<ExportResult> {
  const { core } = context;
  const target = parseDestination(destination);
  const place = target.transport === "oci" ? target.directory : target.file;
  return core.run(options.signal, async (signal) => {
    const sink = await openSink(context, target, { ...options, signal }).catch((error: unknown) => {
      throw errorAt(error, place, core);
    });
    try {
      const image = await describe(context, { ...options, target, sink, signal });
      await sink.write(image);
      signal.throwIfAborted();
      await sink.finish();
      return resultOf(context.record, image, target);
    } catch (error) {
      signal.throwIfAborted();
      throw errorAt(error, place, core);
    } finally {
      await sink.discard();
    }
  });
}

/** An errno names its path: the store's own keep their meaning. */
function errorAt(error: unknown, place: string, core: StoreCore): unknown {
  const path = isErrno(error) ? (error as NodeJS.ErrnoException).path : undefined;
  return path?.startsWith(`${core.layout.root}/`) === true ? storeError(error, core.layout.root) : destinationError(error, place);
}

type Target = LayoutReference | ArchiveReference;

function parseDestination(text: string): Target {
  const target = parseReference(text);
  if (target.transport !== "docker" && target.digest === undefined) return target;
  const message = `${JSON.stringify(text)} is no place to export to; expected oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]`;
  throw new ShaleError("REFERENCE_INVALID", message, { reference: text });
}

interface Running extends ExportImageOptions {
  readonly signal: AbortSignal;
}

async function openSink({ core, name }: ExportContext, target: Target, { output, signal }: Running): Promise<ExportSink> {
  if (target.transport === "oci") return LayoutSink.open(target.directory, target.tag, signal);
  const { transport: form, file } = target;
  const tag = target.tag ?? (form === "docker-archive" ? dockerName(name) : undefined);
  if (file !== "-") return ArchiveSink.toFile(file, { form, tag, signal });
  const staging = core.staging.fresh("export");
  mkdirSync(staging);
  return ArchiveSink.toStream(output ?? process.stdout, staging, { form, tag, signal });
}

/** The name that the image was pulled by, if it is one that Docker can give it. */
function dockerName(name: string): string | undefined {
  const reference = parseReference(name);
  if (reference.transport !== "docker" || reference.tag === undefined) return undefined;
  return `${reference.registry}/${reference.repository}:${reference.tag}`;
}

interface Description extends Running {
  readonly target: Target;
  readonly sink: ExportSink;
}

/** Every blob, its digest and size settled; the manifest as it was if they all are. */
async function describe(
  { core, record }: ExportContext,
  { target, sink, compression = "keep", signal }: Description,
): Promise<ExportedImage> {
  const wanted = target.transport === "docker-archive" ? "none" : compression;
  const known = new Map<DiffId, ExportBlob & { diffId: DiffId }>();
  for (const [index, layer] of record.layers.entries()) {
    const path = join(sink.staging, `layer-${index}`);
    if (!known.has(layer.diffId))
      known.set(layer.diffId, { diffId: layer.diffId, ...(await layerBlob(core, layer, { wanted, path, signal })) });
  }
  const layers = record.layers.map(({ diffId }) => known.get(diffId)!);
  const pulled = readStoredManifest(core.images, record.manifestDigest);
  const config = core.images.readDocument("config", record.configDigest);
  if (!pulled || !config || digestOf(config, record.configDigest) !== record.configDigest) {
    const message = `the manifest or config of image ${record.manifestDigest} is damaged in the store; pull the image again with \`force\``;
    throw new ShaleError("STORE_DAMAGED", message, { path: core.layout.manifest(record.manifestDigest) });
  }
  const same = layers.every(({ descriptor }, index) => descriptor.digest === record.layers[index]!.digest);
  const configBlob = documentBlob(config, OCI_CONFIG, record.configDigest);
  if (same) return { manifest: documentBlob(pulled.bytes, pulled.descriptor.mediaType, record.manifestDigest), config: configBlob, layers };
  return { manifest: newManifest(pulled.bytes, configBlob, layers), config: configBlob, layers };
}

/** Of the old manifest the annotations stay. It is an OCI manifest, whatever that was: only this kind has zstd. */
function newManifest(old: Uint8Array, config: ExportBlob, layers: readonly ExportBlob[]): ExportBlob {
  const content = parseManifestDocument(old);
  const annotations = content.kind === "manifest" ? content.manifest.annotations : undefined;
  const document = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    ...(annotations && { annotations }),
  };
  return documentBlob(Buffer.from(JSON.stringify(document)), OCI_MANIFEST);
}

interface LayerForm {
  readonly wanted: "keep" | Compression;
  /** Where the layer may be compressed. */
  readonly path: string;
  readonly signal: AbortSignal;
}

async function layerBlob(core: StoreCore, layer: ImageLayer, { wanted, path, signal }: LayerForm): Promise<ExportBlob> {
  const { diffId } = layer;
  const original = layerCompression(layer.mediaType) ?? "gzip";
  if (wanted === "keep" && (await isKept(core, layer, signal))) {
    const kept = core.layout.blob(layer.digest);
    const descriptor = descriptorOf(layer.digest, layer.size, original);
    return { descriptor, bytes: () => createReadStream(kept, { highWaterMark: 256 * 1024, signal }) as AsyncIterable<Buffer> };
  }
  const plain = (): AsyncIterable<Buffer> => {
    const { profile: native, owner } = core.superblock;
    const [sidecar, headers] = [core.layers.sidecarPath(diffId), core.layers.headersPath(diffId)];
    return exportLayer({ diffId, sidecar, headers, chunks: core.layout.chunks, native, owner, signal });
  };
  const compression = wanted !== "keep" ? wanted : original === "none" ? "none" : "gzip";
  if (compression === "none") return { descriptor: descriptorOf(parseBlobDigest(diffId), sizeOf(core, diffId), "none"), bytes: plain };
  const { digest, size } = await compressLayer(plain(), path, { compression, signal });
  return {
    descriptor: descriptorOf(digest, size, compression),
    bytes: () => createReadStream(path, { highWaterMark: 256 * 1024, signal }) as AsyncIterable<Buffer>,
  };
}

function sizeOf(core: StoreCore, diffId: DiffId): number {
  const record = core.layers.record(diffId);
  if (record) return record.size;
  throw new ShaleError("NOT_CACHED", `the layer ${diffId} is not in the store; pull the image again`, { reference: diffId });
}

/** A kept blob counts if it is what its name says. */
async function isKept(core: StoreCore, { digest, size }: ImageLayer, signal: AbortSignal): Promise<boolean> {
  const path = core.layout.blob(digest);
  if (statSync(path, { throwIfNoEntry: false })?.size !== size) return false;
  const hash = createHash(digestAlgorithm(digest));
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024, signal })) hash.update(piece as Buffer);
  return `${digestAlgorithm(digest)}:${hash.digest("hex")}` === digest;
}

const LAYER = "application/vnd.oci.image.layer.v1.tar";

function descriptorOf(digest: BlobDigest, size: number, compression: Compression): Descriptor {
  return { mediaType: compression === "none" ? LAYER : `${LAYER}+${compression}`, digest, size };
}

function documentBlob(bytes: Uint8Array, mediaType: string, digest: BlobDigest = parseBlobDigest(digestOf(bytes))): ExportBlob {
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
  };
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes: pieces };
}

function digestOf(bytes: Uint8Array, like?: BlobDigest): string {
  const algorithm = like === undefined ? "sha256" : digestAlgorithm(like);
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

function resultOf(record: ImageRecord, { manifest, layers }: ExportedImage, target: Target): ExportResult {
  const manifestDigest = target.transport === "docker-archive" ? undefined : manifest.descriptor.digest;
  return {
    manifestDigest,
    sameManifest: manifestDigest === record.manifestDigest,
    layers: layers.map(({ diffId, descriptor: { digest, size } }) => ({ diffId, digest, size })),
  };
}
