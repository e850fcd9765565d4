/**
 * Garbage collection. Each step leaves a valid store. The order is:
 *
 * 1. Reconcile: add layers that the catalog lacks, and finish removals that were interrupted.
 * 2. Remove images that no root keeps and whose lease is free: references, record, documents.
 * 3. Remove trees that no image names, that are not mounted, and that no pull is making.
 * 4. Remove layers that no image has and no pull is using: rename each out of layers/, then delete the chunks that no other layer uses.
 * 5. Remove kept blobs of removed images, and downloads that were interrupted long ago.
 * 6. Delete the chunks that interrupted ingests left behind.
 * 7. With a budget, evict images, each with the objects that no other image has.
 * 8. On request, drop trees that are not in use.
 * 9. Delete the lock files of removed objects.
 *
 * A tree disappears by one rename; its files are deleted while the later steps run.
 *
 * A dry run makes the same decisions and skips every deletion.
 */
import { readdirSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { mountedTrees } from "../inspect/mounted-trees.ts";
import { KEEP_YOUNGER_MS, readImages } from "../inspect/roots.ts";
import type { GcParts } from "./gc-parts.ts";
import { sweepDownloads } from "../store/downloads.ts";
import { parseTreeId, type TreeId } from "../store/ids.ts";
import { parseDigestName } from "../store/layout.ts";
import { sweepProofs } from "../store/proofs.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import type { Collection } from "./collection.ts";
import { DeletionQueue } from "./deletion-queue.ts";
import { dropTrees } from "./dematerialize.ts";
import { evictImages } from "./evict-images.ts";
import { emptyTally, type GcOptions, type GcResult } from "./gc-result.ts";
import { reconcile } from "./reconcile.ts";
import { removeLockFiles } from "./remove-lock-files.ts";
import { removeBlob, removeImage, removeLayer, removeTree } from "./remove-objects.ts";
import { sweepOrphans } from "./sweep-orphans.ts";
import { UseCounts } from "./use-counts.ts";

export async function collectGarbage(parts: GcParts, options: GcOptions = {}): Promise<GcResult> {
  using lock = await FileLock.acquire(parts.layout.lock("gc"), { signal: options.signal });
  void lock;
  const tally = emptyTally();
  await using deletions = new DeletionQueue(parts.pool);
  if (!options.dryRun) await reconcile(parts, { tally, deletions }, options.signal);
  const keepYoungerMs = options.keepYoungerMs ?? KEEP_YOUNGER_MS;
  const images = readImages(parts, keepYoungerMs);
  const uses = new UseCounts(parts);
  const collection: Collection = { images, uses, options, tally, removedLayers: new Set(), deletions };
  for (const image of images.values()) if (image.reasons.length === 0) removeImage(parts, collection, image);
  await removeUnused(parts, collection);
  const hasSwept = await sweepOrphans(parts, options, tally);
  if (options.keepBytes !== undefined) await evictImages(parts, collection, options.keepBytes);
  if (options.trees) {
    const dropped = await dropTrees(parts, { images: images.values(), ...options, keepYoungerMs }, deletions);
    tally.trees.push(...dropped.trees);
    tally.treesInUse.push(...dropped.inUse);
  }
  if (options.dryRun !== true) sweepProofs(parts.layout, parts.layers, parts.warn);
  await deletions.drain();
  if (options.dryRun !== true) await removeLockFiles(parts.layout, { keepLayers: !hasSwept });
  return tally;
}

async function removeUnused(parts: GcParts, collection: Collection): Promise<void> {
  const { layout, layers } = parts;
  const { uses, options, tally } = collection;
  let mounted: ReadonlySet<TreeId> | undefined;
  for (const name of readdirSync(layout.trees)) {
    options.signal?.throwIfAborted();
    const treeId = parseTreeId(name);
    if (treeId === undefined || uses.has(treeId)) continue;
    mounted ??= mountedTrees(layout);
    if (!mounted.has(treeId)) removeTree(parts, collection, treeId);
    await nextTurn();
  }
  for (const diffId of layers.list()) {
    options.signal?.throwIfAborted();
    if (!uses.has(diffId)) await removeLayer(parts, collection, diffId);
  }
  for (const name of namesIn(layout.blobs)) {
    const digest = parseDigestName(name);
    if (digest !== undefined && !uses.has(digest)) removeBlob(parts, collection, digest);
  }
  const downloads = sweepDownloads(layout, { dryRun: options.dryRun === true });
  tally.downloads.push(...downloads.map(({ name }) => name.replace("-", ":")));
  for (const { bytes } of downloads) tally.blobBytes += bytes;
}
