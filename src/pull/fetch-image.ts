/**
 * Fetches an image: manifest, config, layers, trees, image record, reference. Nothing is visible under its final name before it is
 * complete; the order of writes is that of format/store.md.
 */
import { existsSync } from "node:fs";
import type { BlobDigest } from "../image/digest.ts";
import { formatPlatform } from "../image/platform.ts";
import type { Source } from "../source/source.ts";
import { withTrees, type ImageRecord } from "../store/images.ts";
import type { Proof } from "../store/proofs.ts";
import { treeExists } from "../store/real-directory.ts";
import { FileLock } from "../system/file-lock.ts";
import { removeStagedTree } from "../tree/materialize.ts";
import { fetchLayers } from "./fetch-layers.ts";
import type { Holds } from "./holds.ts";
import type { LayerTraffic } from "./layer-context.ts";
import { refuseLowDisk } from "./low-disk.ts";
import { repositoryOf } from "./prove-layer.ts";
import { milliseconds, type PulledImage, type PullRequest, type PullStats, type RunningPull, type TreeRef } from "./pull-request.ts";
import type { PullStore } from "./pull-store.ts";
import { resolveConfig, resolveManifest, type ResolvedConfig, type ResolvedManifest } from "./resolve-image.ts";
import { composeLayers, ensureTrees } from "./trees.ts";

export async function fetchImage(store: PullStore, request: PullRequest, { holds, images, started }: RunningPull): Promise<PulledImage> {
  const { name, profile, relay, signal } = request;
  store.settleDurability();
  store.pool.warm(["ingest", "tree"]);
  relay.send({ kind: "resolving", reference: name });
  const source = await request.source();
  const { manifest, config } = await resolve(store, source, request);
  refuseLowDisk(store, config.layers, request.keepBlobs);
  const lease = await store.leases.takeSoon(manifest.descriptor.digest, signal);
  try {
    for (const diffId of new Set(config.layers.map((layer) => layer.diffId))) {
      holds.add(await FileLock.acquire(store.layout.layerUse(diffId), { mode: "shared", signal }));
    }
    const before = store.written;
    const traffic = await fetchLayers(store, { ...request, layers: config.layers, source, holds });
    const record = recordOf(store, manifest, config);
    store.images.writeDocument("manifest", record.manifestDigest, manifest.bytes);
    if (config.fetched) store.images.writeDocument("config", record.configDigest, config.bytes);
    const stats = statsOf(traffic, { before, after: store.written, started });
    const trees = await treesOf(store, record, { ...request, holds });
    publish(store, request, { record, before: images.record(record.manifestDigest), trees, config: config.bytes, named: manifest.named });
    const cached = !config.fetched && traffic.every((layer) => layer === undefined);
    return { record, name, profile, trees, lease, cached, stats };
  } catch (error) {
    lease.release();
    throw error;
  } finally {
    await removeStagedTrees(holds);
  }
}

interface Documents {
  readonly manifest: ResolvedManifest;
  readonly config: ResolvedConfig;
}

async function resolve({ images, proofs }: PullStore, source: Source, request: PullRequest): Promise<Documents> {
  const { reference, name, platform, relay, signal, force, limits, requireProof } = request;
  const manifest = await resolveManifest(source, reference, { platform, limits, signal, onEvent: relay.warnOfRetry });
  await request.verifyManifest?.(manifest.descriptor, manifest.bytes);
  const { digest: blob } = manifest.manifest.config;
  const proof: Proof = { repository: repositoryOf(reference), blob, content: blob };
  const config = await resolveConfig(source, reference, {
    manifest,
    platform,
    images,
    force: force || (requireProof && !proofs.has(proof)),
    limits,
    signal,
    onEvent: relay.warnOfRetry,
  });
  if (requireProof && config.fetched) proofs.add(proof);
  const layers = config.layers.map(({ diffId, descriptor }) => ({ diffId, digest: descriptor.digest, size: descriptor.size }));
  relay.send({ kind: "resolved", reference: name, manifestDigest: manifest.descriptor.digest, layers });
  return { manifest, config };
}

/** Removes the staged trees that became no tree of the image. */
async function removeStagedTrees(holds: Holds): Promise<void> {
  for (const diffId of holds.ingested.keys()) {
    const tree = holds.takeTree(diffId);
    if (tree !== undefined) await removeStagedTree(tree.directory);
  }
}

interface WrittenRange {
  readonly before: PullStore["written"];
  readonly after: PullStore["written"];
  readonly started: number;
}

function statsOf(traffic: readonly (LayerTraffic | undefined)[], { before, after, started }: WrittenRange): PullStats {
  const fetched = traffic.filter((layer) => layer !== undefined);
  return {
    downloadedBytes: fetched.reduce((sum, layer) => sum + layer.fetched, 0),
    resumedBytes: fetched.reduce((sum, { resumed }) => sum + resumed, 0),
    ingestedLayers: fetched.filter(({ ingested }) => ingested).length,
    newChunks: after.newChunks - before.newChunks,
    newChunkBytes: after.newBytes - before.newBytes,
    durationMs: milliseconds() - started,
  };
}

function recordOf({ bootId, layers: stored }: PullStore, manifest: ResolvedManifest, config: ResolvedConfig): ImageRecord {
  const { digest: manifestDigest } = manifest.descriptor;
  const configDigest = manifest.manifest.config.digest;
  const layers = config.layers.map(({ diffId, descriptor: { digest, mediaType, size } }) => ({ diffId, digest, mediaType, size }));
  const indexed = stored.allIndexed(layers.map(({ diffId }) => diffId));
  return { manifestDigest, configDigest, config: config.config, layers, bootId, indexed, trees: {} };
}

async function treesOf(
  store: PullStore,
  { layers }: ImageRecord,
  { profile, relay, signal, force, eager, holds }: PullRequest & { readonly holds: Holds },
): Promise<readonly TreeRef[]> {
  const diffIds = layers.map(({ diffId }) => diffId);
  const composed = await composeLayers(diffIds, { store, profile });
  if (eager) await ensureTrees(diffIds, composed, { store, profile, relay, signal, force, holds });
  return composed;
}

interface Published {
  readonly record: ImageRecord;
  /** The record that the store had. */
  readonly before: ImageRecord | undefined;
  readonly trees: readonly TreeRef[];
  /** Bytes of the image config. */
  readonly config: Uint8Array;
  /** The digest that the reference names: of the manifest, or of an image index. */
  readonly named: BlobDigest;
}

/** The image record, then the reference. */
function publish(store: PullStore, request: PullRequest, { record, before, trees, config, named }: Published): void {
  const { name, profile, platform, eager } = request;
  const { manifestDigest, configDigest, bootId } = record;
  const ids = trees.map(({ treeId }) => treeId);
  const checked = eager || ids.every((id) => !treeExists(store.layout, id) || store.treeMarks.state(id) === "trusted");
  // a config that the store had may have been removed meanwhile with another image
  if (!existsSync(store.layout.config(configDigest))) store.images.writeDocument("config", configDigest, config);
  store.images.writeRecord({ ...record, ...withTrees(before, { bootId, profile, ids, checked }) });
  const other = named === manifestDigest ? {} : { namedDigest: named };
  store.images.writeReference({ reference: name, platform: formatPlatform(platform), manifestDigest, ...other });
  store.leases.touch(manifestDigest);
}
