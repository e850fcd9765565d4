/**
 * Garbage collection. In this order, each step leaving a valid store:
 *
 * 1. reconcile: layers that the catalog does not know are added, removals that were cut off are finished
 * 2. images that no root keeps and nobody has a lease on: references, record, documents
 * 3. trees that no image names, no mount uses and no pull is making
 * 4. layers that no image has and no pull is using: out of sight by one rename, then their chunks without other users
 *
 * A dry run takes the same decisions and stops before each deletion.
 */
import { readdirSync, renameSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ShaleError } from "../errors.ts";
import { digestHex, parseDiffId, type BlobDigest, type DiffId } from "../image/digest.ts";
import { sweepProofs } from "../store/proofs.ts";
import { FileLock } from "../system/file-lock.ts";
import type { GcContext } from "./context.ts";
import { mountedTrees } from "./mounts.ts";
import { NamedNow } from "./named-now.ts";
import { readImages, type KnownImage } from "./roots.ts";
import { sweepLayer } from "./sweep-layer.ts";

export interface GcOptions {
  /** Say what would go, and remove nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also remove images that only references keep, least recently used first, until the files' contents take at most this many bytes. */
  readonly keepBytes?: number | undefined;
  /** Keep what was pulled or used in the last so many ms; default 5 minutes. */
  readonly keepYounger?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GcResult {
  readonly images: readonly BlobDigest[];
  readonly layers: readonly DiffId[];
  readonly trees: readonly string[];
  /** Files in chunks/ and the bytes of their content; 0 in a dry run. */
  readonly chunks: number;
  readonly bytes: number;
}

interface Tally {
  images: BlobDigest[];
  layers: DiffId[];
  trees: string[];
  chunks: number;
  bytes: number;
}

const KEEP_YOUNGER_MS: number = 5 * 60 * 1000;

export async function collectGarbage(context: GcContext, options: GcOptions = {}): Promise<GcResult> {
  using lock = await FileLock.acquire(context.layout.lock("gc"), { signal: options.signal });
  void lock;
  const tally: Tally = { images: [], layers: [], trees: [], chunks: 0, bytes: 0 };
  await reconcile(context, options, tally);
  const images = readImages(context, options.keepYounger ?? KEEP_YOUNGER_MS);
  const now = new NamedNow(context, []);
  for (const image of images.values()) if (image.reasons.length === 0) removeImage(context, { image, images, options, tally, now });
  await removeUnused(context, { images, options, tally });
  if (options.keepBytes !== undefined) await shrink(context, { images, options, tally }, options.keepBytes);
  if (options.dryRun !== true) sweepProofs(context.layout, context.layers, context.warn);
  return tally;
}

interface Round {
  /** Those that stay; what is removed is taken out. */
  readonly images: Map<BlobDigest, KnownImage>;
  readonly options: GcOptions;
  readonly tally: Tally;
}

async function reconcile(context: GcContext, { dryRun, signal }: GcOptions, tally: Tally): Promise<void> {
  if (dryRun) return;
  const { layers, catalog, pool, superblock } = context;
  const known = new Set(await catalog.session((session) => session.layers(), signal));
  for (const diffId of layers.list()) {
    if (known.has(diffId)) continue;
    const request = { sidecar: layers.sidecarPath(diffId), native: superblock.profile, owner: superblock.owner };
    try {
      await catalog.addLayer({ diffId, inodes: await pool.run<Uint8Array>("tree/inodes", request) }, signal);
    } catch (error) {
      // what a damaged layer uses is unknown, and it has to be fetched again anyhow
      if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
      context.warn(error.code, error.message);
    }
  }
  for (const name of readdirSync(context.layout.staging)) await finishRemoval(context, name, { signal, tally });
}

async function finishRemoval(
  context: GcContext,
  name: string,
  { signal, tally }: { signal: AbortSignal | undefined; tally: Tally },
): Promise<void> {
  const path = join(context.layout.staging, name);
  const [kind, rest] = [name.slice(0, name.indexOf("-")), name.slice(name.indexOf("-") + 1)];
  if (kind === "removed") {
    const diffId = parseDiffId(`sha256:${rest}`);
    // a pull may be about to publish the layer anew: what it has written must not be swept under its hands
    using use = FileLock.try(context.layout.layerUse(diffId));
    if (!use) return;
    if (context.layers.state(diffId) === "absent") count(tally, await sweepLayer(context, diffId, path, signal));
    else await rm(path, { recursive: true, force: true });
  } else if (kind === "replaced" && !mountedTrees(context.layout).has(rest.slice(0, 26))) await rm(path, { recursive: true, force: true });
}

/** False when it stays. `now` is asked of an image that nothing named; one that only references name goes with them. */
function removeImage(context: GcContext, { image, images, options, tally, now }: Round & { image: KnownImage; now?: NamedNow }): boolean {
  const { record, references } = image;
  const claim = context.leases.claim(record.manifestDigest);
  if (!claim) return false;
  try {
    if (now?.hasImage(record.manifestDigest)) return false;
    images.delete(record.manifestDigest);
    tally.images.push(record.manifestDigest);
    const keepConfig = [...images.values()].some((other) => other.record.configDigest === record.configDigest);
    if (!options.dryRun) context.images.remove(record, references, keepConfig);
    return true;
  } finally {
    claim.release();
  }
}

async function removeUnused(context: GcContext, round: Round): Promise<void> {
  const used = new Set([...round.images.values()].flatMap(({ record }) => record.layers.map(({ diffId }) => diffId)));
  const now = new NamedNow(context, round.options.dryRun ? round.tally.images : []);
  await removeTrees(context, round, now);
  for (const diffId of context.layers.list()) {
    round.options.signal?.throwIfAborted();
    if (used.has(diffId) || round.tally.layers.includes(diffId)) continue;
    await removeLayer(context, diffId, { ...round, now });
  }
}

async function removeTrees({ layout }: GcContext, { images, options, tally }: Round, now: NamedNow): Promise<void> {
  const used = new Set([...images.values()].flatMap(({ record }) => Object.values(record.trees).flat()));
  let mounted: ReadonlySet<string> | undefined;
  for (const id of readdirSync(layout.trees)) {
    options.signal?.throwIfAborted();
    if (used.has(id) || !/^[a-z2-7]{26}$/.test(id) || tally.trees.includes(id)) continue;
    using lock = FileLock.try(layout.treeLock(id));
    mounted ??= mountedTrees(layout);
    if (!lock || mounted.has(id) || now.hasTree(id)) continue;
    tally.trees.push(id);
    if (options.dryRun) continue;
    const gone = join(layout.staging, `replaced-${id}-gc`);
    renameSync(layout.tree(id), gone);
    await rm(gone, { recursive: true, force: true });
  }
}

async function removeLayer(context: GcContext, diffId: DiffId, { options, tally, now }: Round & { now: NamedNow }): Promise<void> {
  const { layout } = context;
  using use = FileLock.try(layout.layerUse(diffId));
  if (!use || isYoung(layout.layer(diffId), options) || now.hasLayer(diffId)) return;
  tally.layers.push(diffId);
  if (options.dryRun) return;
  const removed = join(layout.staging, `removed-${digestHex(diffId)}`);
  await rm(removed, { recursive: true, force: true });
  renameSync(layout.layer(diffId), removed);
  count(tally, await sweepLayer(context, diffId, removed, options.signal));
}

/** A layer that was ingested a moment ago may belong to a pull that failed and will be tried again. */
function isYoung(path: string, { keepYounger = KEEP_YOUNGER_MS }: GcOptions): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined || Date.now() - stat.ctimeMs < keepYounger;
}

/** Least recently used first, one image after the other, until the store is small enough. */
async function shrink(context: GcContext, round: Round, keepBytes: number): Promise<void> {
  let total = await context.catalog.session(async (session) => {
    let sum = 0;
    for await (const { size } of session.inodes()) sum += size;
    return sum;
  }, round.options.signal);
  const onlyReferenced = [...round.images.values()].filter(({ reasons }) => reasons.every(({ kind }) => kind === "reference"));
  for (const image of onlyReferenced.toSorted((a, b) => a.lastUse - b.lastUse)) {
    if (total <= keepBytes) return;
    const before = round.tally.bytes;
    if (!removeImage(context, { ...round, image })) continue;
    await removeUnused(context, { ...round, options: { ...round.options, keepYounger: 0 } });
    total -= round.tally.bytes - before;
  }
}

function count(tally: Tally, { chunks, bytes }: { chunks: number; bytes: number }): void {
  tally.chunks += chunks;
  tally.bytes += bytes;
}
