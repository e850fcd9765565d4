/**
 * An image from its source: manifest -> config -> layers -> trees -> image record -> reference. Nothing is visible under its final name
 * before it is complete, and everything written is in the order of format/store.md.
 */
import { existsSync } from "node:fs";
import { ShaleError } from "../errors.ts";
import type { BlobDigest } from "../image/digest.ts";
import type { LayerIdentity } from "../image/manifest.ts";
import { formatPlatform } from "../image/platform.ts";
import type { Source } from "../source/source.ts";
import { isRealDirectory } from "../store/real-directory.ts";
import { withTrees, type ImageRecord } from "../store/images.ts";
import { MadeInodes } from "../store/made-inodes.ts";
import type { Proof } from "../store/proofs.ts";
import { FileLock } from "../system/file-lock.ts";
import { removeStagedTree } from "../tree/materialize.ts";
import { EarlyTrees } from "./early-trees.ts";
import { ensureLayer } from "./ensure-layer.ts";
import type { Holds } from "./holds.ts";
import type { Image, PullStats } from "../api/image.ts";
import type { LayerContext, LayerTraffic } from "./layer-context.ts";
import { ImageBudget } from "./limits.ts";
import { refuseLowDisk } from "./low-disk.ts";
import { isIndexed, makeImage, type ImageParts } from "../api/make-image.ts";
import { repositoryOf } from "./prove-layer.ts";
import { milliseconds, tellRetries, treesContext, wholeRequest, type PullRequest } from "./pull-request.ts";
import { resolveConfig, resolveManifest, type ResolvedConfig, type ResolvedManifest } from "./resolve-image.ts";
import type { StoreCore } from "../session/store-core.ts";
import { composeLayers } from "./trees.ts";

export async function fetchImage(asked: PullRequest, started: number): Promise<Image> {
  const { name: text } = asked;
  if (asked.policy === "never") {
    throw new ShaleError("NOT_CACHED", `${JSON.stringify(text)} is not in the store and the policy is never; pull it with another policy`, {
      reference: text,
    });
  }
  const request = await wholeRequest(asked);
  const { core, reference, platform, relay, signal, force, limits, requireProof } = request;
  core.settleDurability();
  core.pool.warm(["ingest", "tree"]);
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
      request.holds.add(await FileLock.acquire(core.layout.layerUse(diffId), { mode: "shared", signal }));
    }
    const before = core.written;
    const fetched = await ensureLayers(config, source, request);
    const record = await recordImage(request, manifest, config);
    const stats = statsOf(fetched, { before, after: core.written, started });
    const cached = !config.fetched && fetched.every((layer) => layer === undefined);
    return await publishImage(request, { record, config: config.bytes, lease, cached, stats, named: manifest.named });
  } catch (error) {
    lease.release();
    throw error;
  } finally {
    await removeTrees(request.holds);
  }
}

/** Those that were staged, and no image's tree was made of. */
async function removeTrees(holds: Holds): Promise<void> {
  for (const diffId of holds.ingested.keys()) {
    const tree = holds.takeTree(diffId);
    if (tree !== undefined) await removeStagedTree(tree.directory);
  }
}

/** Every distinct layer once, told at its lowest place; what came of each, undefined for those that needed nothing. */
async function ensureLayers(
  config: ResolvedConfig,
  source: Source,
  request: PullRequest<StoreCore>,
): Promise<readonly (LayerTraffic | undefined)[]> {
  const { core, reference, relay, force, buildIndex, durability, keepBlobs, limits, requireProof, profile, eager } = request;
  // without the path index the entries of the sidecar stand in another order than the tree's plan has them
  const used = eager && !force && buildIndex && profile === core.profile ? new MadeInodes().memory : undefined;
  const provenFor = requireProof ? repositoryOf(reference) : undefined;
  const abort = new AbortController();
  const signal = AbortSignal.any([request.signal, abort.signal]);
  const distinct = new Map(config.layers.map((layer, index) => [layer.diffId, { ...layer, index }] as const).reverse());
  const budget = new ImageBudget(limits.imageBytes, (error) => abort.abort(error));
  const asked = { reference, relay, force, buildIndex, durability, keepBlobs, limits };
  const context: LayerContext = { ...asked, core, source, used, budget, provenFor, signal };
  const isThere = ({ diffId }: LayerIdentity): number => (!force && core.layers.state(diffId) === "present" ? 1 : 0);
  const layers = [...distinct.values()].map((layer) => ({ ...layer, there: isThere(layer) }));
  // what is there is told first, so that progress knows what is to come; what takes longest begins first, or all would wait for it at the end
  const longestFirst = layers.toSorted((a, b) => b.there - a.there || b.descriptor.size - a.descriptor.size || a.index - b.index);
  const trees = earlyTrees(config, { ...request, signal }, (error) => abort.abort(error));
  const works = longestFirst.map((layer) =>
    core.queued(signal, async () => {
      const traffic = await ensureLayer(layer, context);
      if (traffic?.ingested) request.holds.ingested.set(layer.diffId, traffic.tree);
      trees?.ready(layer.diffId);
      return traffic;
    }),
  );
  try {
    const fetched = await Promise.all(works);
    await trees?.end();
    abort.signal.throwIfAborted();
    for (const [index, { diffId }] of config.layers.entries())
      if (distinct.get(diffId)?.index !== index) relay.send({ kind: "layer-skipped", reason: "in-store", diffId, index });
    return fetched;
  } catch (error) {
    // the first failure ends the others; the store is left alone only when all of them have stopped
    abort.abort(error);
    await Promise.allSettled(works);
    await trees?.end();
    throw error;
  }
}

/** By force a pull wants each tree's lock for itself, in an order of its own: none is made early. */
function earlyTrees(
  { layers }: ResolvedConfig,
  request: PullRequest<StoreCore>,
  onFailure: (error: unknown) => void,
): EarlyTrees | undefined {
  if (!request.eager || request.force) return undefined;
  return new EarlyTrees({ ...treesContext(request), diffIds: layers.map(({ diffId }) => diffId), onFailure });
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
    milliseconds: milliseconds() - started,
  };
}

async function recordImage({ core }: PullRequest<StoreCore>, manifest: ResolvedManifest, config: ResolvedConfig): Promise<ImageRecord> {
  const { digest: manifestDigest } = manifest.descriptor;
  const configDigest = manifest.manifest.config.digest;
  core.images.writeDocument("manifest", manifestDigest, manifest.bytes);
  if (config.fetched) core.images.writeDocument("config", configDigest, config.bytes);
  const layers = config.layers.map(({ diffId, descriptor: { digest, mediaType, size } }) => ({ diffId, digest, mediaType, size }));
  const indexed = isIndexed(core, { layers });
  return { manifestDigest, configDigest, config: config.config, layers, bootId: core.bootId, indexed, trees: {} };
}

interface PublishedParts extends Omit<ImageParts, "composed"> {
  readonly config: Uint8Array;
  readonly named: BlobDigest;
}

/** Trees, then the image record, then the reference. */
async function publishImage(request: PullRequest<StoreCore>, parts: PublishedParts): Promise<Image> {
  const { core, profile, platform, relay, eager } = request;
  const { record, config } = parts;
  const composed = await composeLayers(
    record.layers.map(({ diffId }) => diffId),
    treesContext(request),
  );
  const image = await makeImage({ ...request, core: core.boot }, { ...parts, composed });
  const before = core.images.record(record.manifestDigest, (code, message) => relay.warn(code, message));
  const ids = composed.map(({ treeId }) => treeId);
  const checked = eager || ids.every((id) => !isRealDirectory(core.layout.tree(id)) || core.treeMarks.state(id) === "trusted");
  // found in the store, it may have gone since with another image that had it
  if (!existsSync(core.layout.config(record.configDigest))) core.images.writeDocument("config", record.configDigest, config);
  core.images.writeRecord({ ...record, ...withTrees(before, { bootId: record.bootId, profile, ids, checked }) });
  const { manifestDigest } = record;
  const named = parts.named === manifestDigest ? {} : { namedDigest: parts.named };
  core.images.writeReference({ reference: image.reference, platform: formatPlatform(platform), manifestDigest, ...named });
  core.leases.touch(manifestDigest);
  return image;
}
