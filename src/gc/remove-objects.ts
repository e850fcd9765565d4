/** Removes one object of a kind, under the lock that its users hold. An object that is in use after all is skipped. */
import { randomBytes } from "node:crypto";
import { renameSync, rmSync, statSync } from "node:fs";
import { isErrno } from "../errors.ts";
import type { BlobDigest, DiffId } from "../image/digest.ts";
import { isYoung, type KnownImage } from "../inspect/roots.ts";
import type { TreeId } from "../store/ids.ts";
import type { GcParts } from "./gc-parts.ts";
import type { StoreLayout } from "../store/layout.ts";
import { FileLock } from "../system/file-lock.ts";
import type { Collection } from "./collection.ts";
import { addSwept } from "./gc-result.ts";
import { sweepLayer, weighLayer } from "./sweep-layer.ts";
import type { Unused } from "./use-counts.ts";

/** Removes references, record and documents. Returns undefined if the lease is held or the image was used since it was examined. */
export function removeImage(parts: GcParts, collection: Collection, { record, references, lastUse }: KnownImage): Unused | undefined {
  const { manifestDigest, configDigest } = record;
  const { images, uses, tally, options } = collection;
  const claim = parts.leases.claim(manifestDigest);
  if (!claim) return undefined;
  try {
    if (parts.leases.lastUse(manifestDigest) !== lastUse) return undefined;
    const unused = uses.drop(manifestDigest);
    // another process may have recorded an image with the same config since
    if (!uses.has(configDigest)) uses.refresh();
    images.delete(manifestDigest);
    tally.images.push(manifestDigest);
    tally.references.push(...references.map(({ reference, platform }) => ({ reference, platform, manifestDigest })));
    if (!options.dryRun) parts.images.remove(record, references, uses.has(configDigest));
    return unused;
  } finally {
    claim.release();
  }
}

/** Removes a tree that no record names. */
export function removeTree({ layout }: GcParts, { uses, options, tally, deletions }: Collection, treeId: TreeId): void {
  using lock = FileLock.try(layout.treeLock(treeId));
  if (!lock) return;
  uses.refresh();
  if (uses.has(treeId)) return;
  tally.trees.push(treeId);
  const moved = options.dryRun ? undefined : moveTreeToStaging(layout, treeId);
  if (moved !== undefined) deletions.add(moved);
}

/** The caller holds the tree's lock exclusively. Returns the new path, or undefined if the tree does not exist. */
export function moveTreeToStaging(layout: StoreLayout, treeId: TreeId): string | undefined {
  const moved = layout.replaced(treeId, randomBytes(4).toString("hex"));
  try {
    renameSync(layout.tree(treeId), moved);
    return moved;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Removes a layer that no record has. A young layer stays: it may belong to a pull that failed and will be tried again. */
export async function removeLayer(parts: GcParts, collection: Collection, diffId: DiffId): Promise<void> {
  const { layout } = parts;
  const { uses, options, tally, removedLayers } = collection;
  using use = FileLock.try(layout.layerUse(diffId));
  if (!use) return;
  uses.refresh();
  const stat = statSync(layout.layer(diffId), { throwIfNoEntry: false });
  if (uses.has(diffId) || !stat || isYoung(stat.ctimeMs, options.keepYoungerMs)) return;
  tally.layers.push(diffId);
  removedLayers.add(diffId);
  if (options.dryRun) {
    addSwept(tally, await weighLayer(parts, { diffId, removed: removedLayers }, options.signal));
    return;
  }
  const moved = layout.removedLayer(diffId);
  rmSync(moved, { recursive: true, force: true });
  renameSync(layout.layer(diffId), moved);
  addSwept(tally, await sweepLayer(parts, { diffId, directory: moved }, options.signal));
}

/** Removes a kept blob. A process that is reading it has it open and is not disturbed. */
export function removeBlob({ layout }: GcParts, { options, tally }: Collection, digest: BlobDigest): void {
  const path = layout.blob(digest);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat || isYoung(stat.ctimeMs, options.keepYoungerMs)) return;
  tally.blobs.push(digest);
  tally.blobBytes += stat.size;
  if (!options.dryRun) rmSync(path, { force: true });
}
