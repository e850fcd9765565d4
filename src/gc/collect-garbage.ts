/**
 * Garbage collection. In this order, each step leaving a valid store:
 *
 * 1. reconcile: layers that the catalog does not know are added, removals that were cut off are finished
 * 2. images that no root keeps and nobody has a lease on: references, record, documents
 * 3. trees that no image names, no mount uses and no pull is making
 * 4. layers that no image has and no pull is using: out of sight by one rename, then their chunks without other users
 * 5. kept blobs of images that are gone; downloads that nobody came back for
 * 6. with a budget: one image after the other, each with what only it had
 * 7. when asked: trees that nothing uses
 *
 * A tree is out of sight by one rename; its files go while the later steps are under way.
 *
 * A dry run takes the same decisions and stops before each deletion.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseBlobDigest } from "../image/digest.ts";
import { sweepDownloads } from "../store/downloads.ts";
import { sweepProofs } from "../store/proofs.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import { keepBudget } from "./evict-images.ts";
import type { GcContext } from "../inspect/store-parts.ts";
import { dropTrees } from "./dematerialize.ts";
import { mountedTrees } from "../inspect/mounted-trees.ts";
import { reconcile } from "./reconcile.ts";
import { removeBlob, removeImage, removeLayer, removeTree } from "./remove-objects.ts";
import { emptyTally, type GcOptions, type GcResult } from "./gc-result.ts";
import { readImages } from "../inspect/roots.ts";
import { KEEP_YOUNGER_MS, type Round } from "./collection.ts";
import { Trash } from "./deletion-queue.ts";
import { Users } from "./use-counts.ts";

export async function collectGarbage(context: GcContext, options: GcOptions = {}): Promise<GcResult> {
  using lock = await FileLock.acquire(context.layout.lock("gc"), { signal: options.signal });
  void lock;
  const tally = emptyTally();
  await using trash = new Trash(context.pool);
  if (!options.dryRun) await reconcile(context, { tally, trash }, options.signal);
  const images = readImages(context, options.keepYoungerMs ?? KEEP_YOUNGER_MS);
  const users = new Users(context);
  const round: Round = { images, users, options, tally, gone: new Set(), trash };
  for (const image of images.values()) if (image.reasons.length === 0) removeImage(context, round, image);
  await removeUnused(context, round);
  if (options.keepBytes !== undefined) await keepBudget(context, round, options.keepBytes);
  if (options.trees) {
    const dropped = await dropTrees(
      context,
      { images: images.values(), ...options, keepYoungerMs: options.keepYoungerMs ?? KEEP_YOUNGER_MS },
      trash,
    );
    tally.trees.push(...dropped.trees);
    tally.treesInUse.push(...dropped.inUse);
  }
  if (options.dryRun !== true) sweepProofs(context.layout, context.layers, context.warn);
  await trash.empty();
  return tally;
}

async function removeUnused(context: GcContext, round: Round): Promise<void> {
  const { layout, layers } = context;
  const { users, options, tally } = round;
  let mounted: ReadonlySet<string> | undefined;
  for (const id of readdirSync(layout.trees)) {
    options.signal?.throwIfAborted();
    if (users.has(id) || !/^[a-z2-7]{26}$/.test(id)) continue;
    mounted ??= mountedTrees(layout);
    if (!mounted.has(id)) removeTree(context, round, id);
    await nextTurn();
  }
  for (const diffId of layers.list()) {
    options.signal?.throwIfAborted();
    if (!users.has(diffId)) await removeLayer(context, round, diffId);
  }
  for (const name of namesIn(join(layout.root, "blobs"))) {
    if (!/^sha(?:256|512)-[0-9a-f]+$/.test(name)) continue;
    const digest = parseBlobDigest(name.replace("-", ":"));
    if (!users.has(digest)) removeBlob(context, round, digest);
  }
  const downloads = sweepDownloads(join(layout.staging, "downloads"), { dryRun: options.dryRun === true });
  tally.downloads.push(...downloads.map(({ name }) => name.replace("-", ":")));
  for (const { bytes } of downloads) tally.blobBytes += bytes;
}
