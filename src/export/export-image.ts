/** Writes an image of the store to an OCI image layout or an archive. */
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { ArchiveSink } from "./archive-sink.ts";
import { compressLayer } from "./compress-layer.ts";
import { exportLayer } from "./export-layer.ts";
import type { ExportBlob, ExportedImage, ExportSink } from "./export-sink.ts";
import { LayoutSink } from "./layout-sink.ts";
import { isErrno, ShaleError } from "../errors.ts";
import type { Compression } from "../image/compression.ts";
import { computeDigest } from "../image/compute-digest.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { digestAlgorithm, parseBlobDigest, type BlobDigest, type DiffId } from "../image/digest.ts";
import { parseManifestDocument } from "../image/manifest.ts";
import { layerCompression, OCI_CONFIG, OCI_MANIFEST } from "../image/media-type.ts";
import { parseReference, type ArchiveReference, type LayoutReference } from "../image/reference.ts";
import type { ImageLayer, ImageRecord, Images } from "../store/images.ts";
import type { Layers } from "../store/layers.ts";
import type { StoreLayout } from "../store/layout.ts";
import type { Staging } from "../store/staging.ts";
import { storeError } from "../store/store-error.ts";
import type { Superblock } from "../store/superblock.ts";
import { readVerified } from "../store/verified-document.ts";
import { destinationError } from "../view/destination.ts";

export interface ExportImageOptions {
  /**
   * `keep` (default): the blob as it was pulled if the store has it (`keepBlobs`) or it was not compressed, otherwise gzip. Layers of a Docker
   * archive are always uncompressed.
   */
  readonly compression?: "keep" | Compression | undefined;
  /** The stream for `oci-archive:-` and `docker-archive:-`; default: standard output. It is not ended. */
  readonly output?: Writable | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ExportedLayer {
  readonly diffId: DiffId;
  readonly digest: BlobDigest;
  /** Bytes. */
  readonly size: number;
}

export interface ExportResult {
  /** Of the written manifest; undefined for a Docker archive, which has none. */
  readonly manifestDigest: BlobDigest | undefined;
  /** True if it is the manifest that was pulled. */
  readonly sameManifest: boolean;
  /** Bottom to top. */
  readonly layers: readonly ExportedLayer[];
}

export interface ExportContext {
  readonly store: {
    readonly layout: StoreLayout;
    readonly superblock: Superblock;
    readonly images: Images;
    readonly layers: Layers;
    readonly staging: Staging;
  };
  readonly record: ImageRecord;
  /** What the store calls the image. */
  readonly name: string;
}

type Running = ExportImageOptions & { readonly signal: AbortSignal };

export async function writeExport(context: ExportContext, destination: string, options: Running): Promise<ExportResult> {
  const target = parseDestination(destination);
  const path = target.transport === "oci" ? target.directory : target.file;
  const { signal } = options;
  const sink = await openSink(context, target, options).catch((error: unknown) => {
    throw errorAt(error, path, context);
  });
  try {
    const image = await describe(context, { ...options, target, sink });
    await sink.write(image);
    signal.throwIfAborted();
    await sink.finish();
    return resultOf(context.record, image, target);
  } catch (error) {
    signal.throwIfAborted();
    throw errorAt(error, path, context);
  } finally {
    await sink.discard();
  }
}

/** A system error names its path: one inside the store is a store error, any other one a destination error. */
function errorAt(error: unknown, destination: string, { store: { layout } }: ExportContext): unknown {
  const path = isErrno(error) ? (error as NodeJS.ErrnoException).path : undefined;
  return path?.startsWith(`${layout.root}/`) === true ? storeError(error, layout.root) : destinationError(error, destination);
}

type Target = LayoutReference | ArchiveReference;

function parseDestination(text: string): Target {
  const target = parseReference(text);
  if (target.transport !== "docker" && target.digest === undefined) return target;
  const message = `${JSON.stringify(text)} is not an export destination; expected oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME]`;
  throw new ShaleError("REFERENCE_INVALID", message, { reference: text });
}

async function openSink({ store, name }: ExportContext, target: Target, { output, signal }: Running): Promise<ExportSink> {
  if (target.transport === "oci") return LayoutSink.open(target.directory, target.tag, signal);
  const { transport: form, file } = target;
  const tag = target.tag ?? (form === "docker-archive" ? dockerName(name) : undefined);
  if (file !== "-") return ArchiveSink.toFile(file, { form, tag, signal });
  const staging = store.staging.fresh("export");
  mkdirSync(staging);
  return ArchiveSink.toStream(output ?? process.stdout, staging, { form, tag, signal });
}

/** The name that the image was pulled by, if Docker can use it. */
function dockerName(name: string): string | undefined {
  const reference = parseReference(name);
  if (reference.transport !== "docker" || reference.tag === undefined) return undefined;
  return `${reference.registry}/${reference.repository}:${reference.tag}`;
}

interface Description extends Running {
  readonly target: Target;
  readonly sink: ExportSink;
}

/** Every blob with its digest and size, and the manifest: the pulled one if every blob is as pulled. */
async function describe(
  { store, record }: ExportContext,
  { target, sink, compression = "keep", signal }: Description,
): Promise<ExportedImage> {
  const wanted = target.transport === "docker-archive" ? "none" : compression;
  const known = new Map<DiffId, ExportBlob & { diffId: DiffId }>();
  for (const [index, layer] of record.layers.entries()) {
    const path = join(sink.staging, `layer-${index}`);
    if (!known.has(layer.diffId))
      known.set(layer.diffId, { diffId: layer.diffId, ...(await layerBlob(store, layer, { wanted, path, signal })) });
  }
  const layers = record.layers.map(({ diffId }) => known.get(diffId)!);
  const manifest = readVerified(store, "manifest", record.manifestDigest);
  const config = readVerified(store, "config", record.configDigest);
  const same = layers.every(({ descriptor }, index) => descriptor.digest === record.layers[index]!.digest);
  const configBlob = documentBlob(config, OCI_CONFIG, record.configDigest);
  if (same)
    return {
      manifest: documentBlob(manifest, parseManifestDocument(manifest).mediaType, record.manifestDigest),
      config: configBlob,
      layers,
    };
  return { manifest: newManifest(manifest, configBlob, layers), config: configBlob, layers };
}

/** Keeps the annotations of the old manifest. Always an OCI manifest, since Docker manifests have no zstd layers. */
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
  /** File for the compressed layer, if it must be compressed. */
  readonly path: string;
  readonly signal: AbortSignal;
}

async function layerBlob(store: ExportContext["store"], layer: ImageLayer, { wanted, path, signal }: LayerForm): Promise<ExportBlob> {
  const { diffId } = layer;
  const original = layerCompression(layer.mediaType) ?? "gzip";
  if (wanted === "keep" && (await isKept(store, layer, signal))) {
    const kept = store.layout.blob(layer.digest);
    const descriptor = descriptorOf(layer.digest, layer.size, original);
    return { descriptor, bytes: () => createReadStream(kept, { highWaterMark: 256 * 1024, signal }) as AsyncIterable<Buffer> };
  }
  const plain = (): AsyncIterable<Buffer> => {
    const { profile: native, owner } = store.superblock;
    const [sidecar, headers] = [store.layers.sidecarPath(diffId), store.layers.headersPath(diffId)];
    return exportLayer({ diffId, sidecar, headers, chunks: store.layout.chunks, native, owner, signal });
  };
  const compression = wanted !== "keep" ? wanted : original === "none" ? "none" : "gzip";
  if (compression === "none") return { descriptor: descriptorOf(parseBlobDigest(diffId), sizeOf(store, diffId), "none"), bytes: plain };
  const { digest, size } = await compressLayer(plain(), path, { compression, signal });
  return {
    descriptor: descriptorOf(digest, size, compression),
    bytes: () => createReadStream(path, { highWaterMark: 256 * 1024, signal }) as AsyncIterable<Buffer>,
  };
}

function sizeOf(store: ExportContext["store"], diffId: DiffId): number {
  const record = store.layers.record(diffId);
  if (record) return record.size;
  throw new ShaleError("NOT_CACHED", `the layer ${diffId} is not in the store; pull the image again`, { reference: diffId });
}

/** True if the store kept the blob and its digest is right. */
async function isKept(store: ExportContext["store"], { digest, size }: ImageLayer, signal: AbortSignal): Promise<boolean> {
  const path = store.layout.blob(digest);
  if (statSync(path, { throwIfNoEntry: false })?.size !== size) return false;
  const hash = createHash(digestAlgorithm(digest));
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024, signal })) hash.update(piece as Buffer);
  return `${digestAlgorithm(digest)}:${hash.digest("hex")}` === digest;
}

const LAYER = "application/vnd.oci.image.layer.v1.tar";

function descriptorOf(digest: BlobDigest, size: number, compression: Compression): Descriptor {
  return { mediaType: compression === "none" ? LAYER : `${LAYER}+${compression}`, digest, size };
}

function documentBlob(bytes: Uint8Array, mediaType: string, digest: BlobDigest = computeDigest(bytes)): ExportBlob {
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    yield bytes;
  };
  return { descriptor: { mediaType, digest, size: bytes.length }, bytes: pieces };
}

function resultOf(record: ImageRecord, { manifest, layers }: ExportedImage, target: Target): ExportResult {
  const manifestDigest = target.transport === "docker-archive" ? undefined : manifest.descriptor.digest;
  return {
    manifestDigest,
    sameManifest: manifestDigest === record.manifestDigest,
    layers: layers.map(({ diffId, descriptor: { digest, size } }) => ({ diffId, digest, size })),
  };
}
