/**
 * The pull: policy first, then reference -> manifest -> config -> layers -> trees -> image record -> reference. Nothing is visible
 * under its final name before it is complete, and everything written is in the order of format/store.md.
 */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ShaleError } from "../errors.ts";
import type { BlobDigest } from "../image/digest.ts";
import { formatPlatform, type Platform } from "../image/platform.ts";
import type { ArchiveReference, LayoutReference, Reference } from "../image/reference.ts";
import type { Source, SourceEvent } from "../source/source.ts";
import { namedDigest, type ImageRecord } from "../store/images.ts";
import type { Proof } from "../store/proofs.ts";
import { isRealDirectory } from "../store/planted.ts";
import type { Profile } from "../store/profile.ts";
import { FileLock } from "../system/file-lock.ts";
import type { ComposedLayer } from "../tree/tasks.ts";
import { dematerializeOwn } from "../gc/dematerialize.ts";
import { ensureIndex, ensureLayer, isUsable, type LayerTraffic } from "./ensure-layer.ts";
import { Image, type PullStats } from "./image.ts";
import { ImageBudget, type Limits } from "./limits.ts";
import { refuseLowDisk } from "./low-disk.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import { repositoryOf } from "./prove-layer.ts";
import {
  readStoredManifest,
  resolveConfig,
  resolveManifest,
  type ResolvedConfig,
  type ResolvedManifest,
  type VerifyManifest,
} from "./resolve-image.ts";
import type { StoreCore } from "./store-core.ts";
import { makeRootfsOf } from "./materialize-rootfs.ts";
import { openImageFiles } from "./open-image-files.ts";
import { composeLayers, ensureTrees, type TreesContext } from "./trees.ts";

type LocalReference = ArchiveReference | LayoutReference;
export type PullPolicy = "if-missing" | "always" | "never";

export interface PullRequest {
  readonly core: StoreCore;
  /** What the source is asked for. */
  readonly reference: Reference;
  /** What the store calls the image: the canonical text of a reference, as a rule of that one. */
  readonly name: string;
  readonly platform: Platform;
  readonly profile: Profile;
  readonly policy: PullPolicy;
  readonly force: boolean;
  readonly buildIndex: boolean;
  readonly eager: boolean;
  readonly durability: "deferred" | "barrier";
  readonly keepBlobs: boolean;
  readonly requireProof: boolean;
  readonly limits: Limits;
  readonly verifyManifest: VerifyManifest | undefined;
  /** Called when the network or layout is needed, never for a cached image. */
  readonly source: () => Promise<Source>;
  readonly relay: ProgressRelay;
  /** Locks that keep what the pull needs from gc; released when its image is recorded. */
  readonly holds: FileLock[];
  readonly signal: AbortSignal;
}

export async function pullImage(request: Omit<PullRequest, "holds">): Promise<Image> {
  const { relay } = request;
  const started = performance.now();
  const image = await holding(async (holds) => {
    const held = { ...request, holds };
    return (await fromStore(held, started)) ?? (await fetchAndHeal(held, started));
  });
  relay.send({ kind: "complete", manifestDigest: image.manifestDigest, cached: image.cached });
  if (!image.cached) request.core.keepBudget();
  return image;
}

async function fromStore(request: PullRequest, started: number): Promise<Image | undefined> {
  if (request.force || (looksAtSource(request) && !(await isUnchanged(request)))) return undefined;
  try {
    const image = await cachedImage(request, started);
    if (image) ensureReference(request, image);
    if (image && request.policy === "always") tellUnchanged(request, image);
    return image;
  } catch (error) {
    if (request.policy === "never" || !isDamage(error)) throw error;
    request.relay.warn(error.code, error.message);
    return undefined;
  }
}

/** A look at what lies on this machine costs nothing, and a file means what it holds now; once it is gone, what the store has of it will do. */
function looksAtSource({ policy, reference }: PullRequest): boolean {
  return policy === "always" || (policy === "if-missing" && reference.transport !== "docker" && localExists(reference));
}

function localExists(reference: LocalReference): boolean {
  const path = reference.transport === "oci" ? reference.directory : reference.file;
  return path === "-" || existsSync(path);
}

/** True when the registry names what the store has: told by a digest, for one round trip; a digest in the reference needs none. */
async function isUnchanged({ core, reference, name, platform, relay, signal, source, verifyManifest }: PullRequest): Promise<boolean> {
  const warn = (code: string, message: string): void => relay.warn(code, message);
  const known = core.images.reference(name, formatPlatform(platform), warn);
  if (!known) return false;
  const pinned = reference.transport === "docker" && reference.digest !== undefined;
  if (!pinned && (await (await source()).resolveDigest(reference, { signal, onEvent: tellRetries(relay) })) !== namedDigest(known))
    return false;
  if (verifyManifest === undefined) return true;
  const manifest = readStoredManifest(core.images, known.manifestDigest);
  await (manifest && verifyManifest(manifest.descriptor, manifest.bytes));
  return manifest !== undefined;
}

/** Who asked for a look at the registry is told what it came to. */
function tellUnchanged({ core, relay, eager }: PullRequest, { reference, manifestDigest }: Image): void {
  const record = core.images.record(manifestDigest, (code, message) => relay.warn(code, message));
  const layers = (record?.layers ?? []).map(({ diffId, digest, size }) => ({ diffId, digest, size }));
  relay.send({ kind: "resolving", reference });
  relay.send({ kind: "resolved", reference, manifestDigest, layers });
  for (const [index, { diffId }] of layers.entries()) {
    relay.send({ kind: "layer-skipped", reason: "in-store", diffId, index });
    if (eager) relay.send({ kind: "tree-skipped", diffId, index });
  }
}

/** What was found by its digest alone is kept under this name too. */
function ensureReference({ core, reference, name, platform, relay }: PullRequest, { manifestDigest }: Image): void {
  const key = { reference: name, platform: formatPlatform(platform) };
  const warn = (code: string, message: string): void => relay.warn(code, message);
  if (core.images.reference(key.reference, key.platform, warn)) return;
  const digest = reference.transport === "docker" ? reference.digest : undefined;
  core.images.writeReference({ ...key, manifestDigest, ...(digest && digest !== manifestDigest && { namedDigest: digest }) });
  core.leases.touch(manifestDigest);
}

/** What is damaged in the store is found when it is used; then everything is fetched once more, and what is right is kept. */
async function fetchAndHeal(request: PullRequest, started: number): Promise<Image> {
  try {
    return await fetchImage(request, started);
  } catch (error) {
    if (request.force || !isDamage(error)) throw error;
    request.relay.warn(error.code, error.message);
    return fetchImage({ ...request, force: true }, started);
  }
}

export function isDamage(error: unknown): error is ShaleError<"STORE_DAMAGED" | "SIDECAR_INVALID"> {
  return ShaleError.is(error, "STORE_DAMAGED") || ShaleError.is(error, "SIDECAR_INVALID");
}

/** The image, if the store has all of it; nothing is ever fetched. */
export function storedImage(request: Omit<PullRequest, "holds">): Promise<Image | undefined> {
  return holding((holds) => cachedImage({ ...request, holds }, performance.now()));
}

/** The image, if the store has all of it; without network, LevelDB or workers when its trees are there too. */
async function cachedImage(request: PullRequest, started: number): Promise<Image | undefined> {
  const { core, reference, name: text, platform, relay, profile } = request;
  const warn = (code: string, message: string): void => relay.warn(code, message);
  const pinned = reference.transport === "docker" ? reference.digest : undefined;
  const wanted = formatPlatform(platform);
  const digest = core.images.resolve(text, wanted, warn) ?? (pinned && core.images.resolvePinned(pinned, wanted, warn));
  const lease = digest && (await takeLease(core, digest));
  if (!digest || !lease) return undefined;
  try {
    const record = core.images.record(digest, warn);
    const composed = record && isProven(record, request) && (await composedTrees(record, request));
    if (composed) return await restoreImage(request, { record, composed, lease, started });
  } catch (error) {
    lease.release();
    throw error;
  }
  lease.release();
  if (request.policy === "never") relay.warn("NOT_CACHED", `${JSON.stringify(text)} is only partly in the store (profile ${profile})`);
  return undefined;
}

/** Who looks whether anybody has the image holds its lease for a moment; who removes it, until the record is gone. */
async function takeLease({ leases, layout }: StoreCore, digest: BlobDigest): Promise<FileLock | undefined> {
  for (let tries = 0; tries < 25; tries++) {
    const lease = leases.take(digest);
    if (lease || !existsSync(layout.imageRecord(digest))) return lease;
    await sleep(4);
  }
  return undefined;
}

interface Restored {
  readonly record: ImageRecord;
  readonly composed: readonly TreeRef[];
  readonly lease: FileLock;
  readonly started: number;
}

/** A record from another boot, or without these trees, is brought up to date once they are there. */
async function restoreImage(request: PullRequest, { record, composed, lease, started }: Restored): Promise<Image> {
  const { core, profile, eager } = request;
  const stats = (): PullStats => ({ ...NO_WORK, milliseconds: performance.now() - started });
  const image = await makeImage(request, { record, composed, lease, cached: true, stats: stats() });
  if (eager && composed.some((tree) => tree.resolution)) {
    const trees = { ...record.trees, [profile]: composed.map(({ treeId }) => treeId) };
    core.images.writeRecord({ ...record, bootId: core.bootId, indexed: isIndexed(core, record), trees });
  }
  return image;
}

/** A layer that stands in the image in two forms is proven by either: it is fetched once. */
function isProven({ configDigest, layers }: ImageRecord, { core, reference, requireProof }: PullRequest): boolean {
  if (!requireProof) return true;
  const repository = repositoryOf(reference);
  const has = (blob: BlobDigest, content: Proof["content"]): boolean => core.proofs.has({ repository, blob, content });
  const proven = new Set(layers.filter(({ digest, diffId }) => has(digest, diffId)).map(({ diffId }) => diffId));
  return has(configDigest, configDigest) && layers.every(({ diffId }) => proven.has(diffId));
}

function isIndexed(core: StoreCore, { layers }: Pick<ImageRecord, "layers">): boolean {
  return layers.every(({ diffId }) => core.layers.record(diffId)?.indexed === true);
}

const NO_WORK: Omit<PullStats, "milliseconds"> = { downloadedBytes: 0, resumedBytes: 0, ingestedLayers: 0, newChunks: 0, newChunkBytes: 0 };

/** The trees of a recorded image; undefined when a layer is missing. Their ids alone are enough while every tree is there. */
async function composedTrees(record: ImageRecord, request: PullRequest): Promise<readonly TreeRef[] | undefined> {
  const { core, profile, eager, buildIndex } = request;
  const known = record.trees[profile];
  const settled = record.bootId === core.bootId && (record.indexed || !buildIndex);
  if (known && settled && (!eager || known.every((id) => isRealDirectory(core.layout.tree(id)))))
    return known.map((treeId) => ({ treeId }));
  for (const [index, { diffId }] of record.layers.entries()) {
    if (!(await isUsable(core, diffId, request.signal))) return undefined;
    if (buildIndex) await ensureIndex({ diffId, index }, request);
  }
  return composeLayers(
    record.layers.map(({ diffId }) => diffId),
    treesContext(request),
  );
}

interface TreeRef extends Partial<ComposedLayer> {
  readonly treeId: string;
}

interface ImageParts {
  readonly record: ImageRecord;
  readonly composed: readonly TreeRef[];
  readonly lease: FileLock;
  readonly cached: boolean;
  readonly stats: PullStats;
}

async function makeImage(request: PullRequest, { record, composed, lease, cached, stats }: ImageParts): Promise<Image> {
  const { core, profile, eager } = request;
  const diffIds = record.layers.map(({ diffId }) => diffId);
  const make = async (signal: AbortSignal, holds: FileLock[]): Promise<void> => {
    if (!composed.some((tree) => tree.resolution) && composed.every(({ treeId }) => isRealDirectory(core.layout.tree(treeId)))) return;
    const context = { ...treesContext(request), signal, holds };
    const isKnown = composed.every((tree) => tree.resolution);
    const known = isKnown ? (composed as readonly ComposedLayer[]) : await composeLayers(diffIds, context);
    await ensureTrees(diffIds, known, context);
  };
  if (eager) await make(request.signal, request.holds);
  return new Image({
    reference: request.name,
    manifestDigest: record.manifestDigest,
    config: record.config,
    profile,
    layers: composed.map(({ treeId }) => core.layout.tree(treeId)),
    cached,
    stats,
    lease,
    dematerialize: (signal) => {
      const only = new Set(composed.map(({ treeId }) => treeId));
      return core.run(signal, (own) => dematerializeOwn(core, { lease, own: record.manifestDigest, only }, own));
    },
    materialize: (signal) => core.run(signal, (own) => holding((holds) => make(own, holds))),
    openFiles: () => core.run(undefined, () => openImageFiles(core, diffIds)),
    makeRootfs: (destination, options) => makeRootfsOf({ core, diffIds, profile }, destination, options),
    exportTo: async (destination, options) => {
      const { exportImageOf } = await import("./write-export.ts");
      return exportImageOf({ core, record, name: request.name }, destination, options);
    },
  });
}

/** For locks that are taken on the way and needed until the end. */
async function holding<T>(work: (holds: FileLock[]) => Promise<T>): Promise<T> {
  const holds: FileLock[] = [];
  try {
    return await work(holds);
  } finally {
    for (const hold of holds) hold.release();
  }
}

async function fetchImage(request: PullRequest, started: number): Promise<Image> {
  const { core, reference, name: text, platform, relay, signal, force, limits, requireProof } = request;
  if (request.policy === "never") {
    throw new ShaleError("NOT_CACHED", `${JSON.stringify(text)} is not in the store and the policy is never; pull it with another policy`, {
      reference: text,
    });
  }
  core.settleDurability();
  core.pool.warm();
  relay.send({ kind: "resolving", reference: text });
  const source = await request.source();
  const onEvent = tellRetries(relay);
  const manifest = await resolveManifest(source, reference, { platform, limits, signal, onEvent });
  await request.verifyManifest?.(manifest.descriptor, manifest.bytes);
  const { digest: blob } = manifest.manifest.config;
  const proof: Proof = { repository: repositoryOf(reference), blob, content: blob };
  const config = await resolveConfig(source, reference, {
    manifest,
    platform,
    images: core.images,
    force: force || (requireProof && !core.proofs.has(proof)),
    limits,
    signal,
    onEvent,
  });
  if (requireProof && config.fetched) core.proofs.add(proof);
  const manifestDigest = manifest.descriptor.digest;
  const summary = config.layers.map(({ diffId, descriptor }) => ({ diffId, digest: descriptor.digest, size: descriptor.size }));
  relay.send({ kind: "resolved", reference: text, manifestDigest, layers: summary });
  refuseLowDisk(core, config.layers, request.keepBlobs);
  const lease = await core.leases.takeSoon(manifestDigest, signal);
  try {
    for (const diffId of new Set(config.layers.map((layer) => layer.diffId))) {
      request.holds.push(await FileLock.acquire(core.layout.layerUse(diffId), { mode: "shared", signal }));
    }
    const before = core.written;
    const fetched = await ensureLayers(config, source, request);
    const record = await recordImage(request, manifest, config);
    const stats = statsOf(fetched, { before, after: core.written, started });
    const cached = !config.fetched && fetched.every((layer) => layer === undefined);
    return await publishImage(request, { record, lease, cached, stats, named: manifest.named });
  } catch (error) {
    lease.release();
    throw error;
  }
}

/** Every distinct layer once, told at its lowest place; what came of each, undefined for those that needed nothing. */
async function ensureLayers(config: ResolvedConfig, source: Source, request: PullRequest): Promise<readonly (LayerTraffic | undefined)[]> {
  const { core, reference, relay, force, buildIndex, durability, keepBlobs, limits, requireProof } = request;
  const provenFor = requireProof ? repositoryOf(reference) : undefined;
  const abort = new AbortController();
  const signal = AbortSignal.any([request.signal, abort.signal]);
  const distinct = new Map(config.layers.map((layer, index) => [layer.diffId, { ...layer, index }] as const).reverse());
  const budget = new ImageBudget(limits.imageBytes, (error) => abort.abort(error));
  const context = { core, source, reference, relay, force, buildIndex, durability, keepBlobs, limits, budget, provenFor, signal };
  const queue = await core.downloads();
  // what takes longest begins first, or all would wait for it at the end
  const longestFirst = [...distinct.values()].toSorted((a, b) => b.descriptor.size - a.descriptor.size || a.index - b.index);
  const works = longestFirst.map((layer) => queue.add(() => ensureLayer(layer, context)));
  try {
    const fetched = await Promise.all(works);
    abort.signal.throwIfAborted();
    for (const [index, { diffId }] of config.layers.entries())
      if (distinct.get(diffId)?.index !== index) relay.send({ kind: "layer-skipped", reason: "in-store", diffId, index });
    return fetched;
  } catch (error) {
    // the first failure ends the others; the store is left alone only when all of them have stopped
    abort.abort(error);
    await Promise.allSettled(works);
    throw error;
  }
}

/** Manifests and configs have no row of their own in the progress. */
function tellRetries(relay: ProgressRelay): (event: SourceEvent) => void {
  return (event) => {
    if (event.kind === "retrying") relay.warn(event.code, event.message);
  };
}

function statsOf(
  traffic: readonly (LayerTraffic | undefined)[],
  { before, after, started }: { before: StoreCore["written"]; after: StoreCore["written"]; started: number },
): PullStats {
  const fetched = traffic.filter((layer) => layer !== undefined);
  return {
    downloadedBytes: fetched.reduce((sum, layer) => sum + layer.fetched, 0),
    resumedBytes: fetched.reduce((sum, { resumed }) => sum + resumed, 0),
    ingestedLayers: fetched.filter(({ ingested }) => ingested).length,
    newChunks: after.newChunks - before.newChunks,
    newChunkBytes: after.newBytes - before.newBytes,
    milliseconds: performance.now() - started,
  };
}

async function recordImage({ core }: PullRequest, manifest: ResolvedManifest, config: ResolvedConfig): Promise<ImageRecord> {
  const { digest: manifestDigest } = manifest.descriptor;
  const configDigest = manifest.manifest.config.digest;
  core.images.writeDocument("manifest", manifestDigest, manifest.bytes);
  if (config.fetched) core.images.writeDocument("config", configDigest, config.bytes);
  const layers = config.layers.map(({ diffId, descriptor: { digest, mediaType, size } }) => ({ diffId, digest, mediaType, size }));
  const indexed = isIndexed(core, { layers });
  return { manifestDigest, configDigest, config: config.config, layers, bootId: core.bootId, indexed, trees: {} };
}

/** Trees, then the image record, then the reference. */
async function publishImage(request: PullRequest, parts: Omit<ImageParts, "composed"> & { readonly named: BlobDigest }): Promise<Image> {
  const { core, profile, platform, relay } = request;
  const { record } = parts;
  const composed = await composeLayers(
    record.layers.map(({ diffId }) => diffId),
    treesContext(request),
  );
  const image = await makeImage(request, { ...parts, composed });
  const before = core.images.record(record.manifestDigest, (code, message) => relay.warn(code, message));
  const trees = { ...before?.trees, [profile]: composed.map(({ treeId }) => treeId) };
  core.images.writeRecord({ ...record, trees });
  const { manifestDigest } = record;
  const named = parts.named === manifestDigest ? {} : { namedDigest: parts.named };
  core.images.writeReference({ reference: image.reference, platform: formatPlatform(platform), manifestDigest, ...named });
  core.leases.touch(manifestDigest);
  return image;
}

function treesContext({ core, profile, relay, signal, force, holds }: PullRequest): TreesContext {
  return { core, profile, relay, signal, force, holds };
}
