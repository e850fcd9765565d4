/** The steps of removal, each for one object, under the lock that its users hold. False: something uses it after all. */
import { renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { digestHex, type BlobDigest, type DiffId } from "../image/digest.ts";
import { FileLock } from "../system/file-lock.ts";
import type { GcContext } from "../inspect/store-parts.ts";
import { moveTreeAway } from "./move-tree.ts";
import { addSwept } from "./gc-result.ts";
import type { KnownImage } from "../inspect/roots.ts";
import { isYoung, type Round } from "./collection.ts";
import { sweepLayer, weighLayer } from "./sweep-layer.ts";
import type { Unused } from "./use-counts.ts";

/** References, record, documents. Undefined when somebody holds its lease, or has used it since it was looked at. */
export function removeImage(context: GcContext, round: Round, { record, references, lastUse }: KnownImage): Unused | undefined {
  const { manifestDigest, configDigest } = record;
  const claim = context.leases.claim(manifestDigest);
  if (!claim) return undefined;
  try {
    if (context.leases.lastUse(manifestDigest) !== lastUse) return undefined;
    const unused = round.users.drop(manifestDigest);
    // another process may have recorded an image with the same config since
    if (!round.users.has(configDigest)) round.users.refresh();
    round.images.delete(manifestDigest);
    round.tally.images.push(manifestDigest);
    round.tally.references.push(...references.map(({ reference, platform }) => ({ reference, platform, manifestDigest })));
    if (!round.options.dryRun) context.images.remove(record, references, round.users.has(configDigest));
    return unused;
  } finally {
    claim.release();
  }
}

/** A tree that no record names. */
export function removeTree(context: GcContext, round: Round, treeId: string): boolean {
  const { layout } = context;
  const { users, options, tally } = round;
  using lock = FileLock.try(layout.treeLock(treeId));
  if (!lock) return false;
  users.refresh();
  if (users.has(treeId)) return false;
  tally.trees.push(treeId);
  const gone = options.dryRun ? undefined : moveTreeAway(layout, treeId);
  if (gone !== undefined) round.trash.add(gone);
  return true;
}

/** A layer that no record has. One that was ingested a moment ago may belong to a pull that failed and will be tried again. */
export async function removeLayer(context: GcContext, round: Round, diffId: DiffId): Promise<boolean> {
  const { layout } = context;
  const { users, options, tally, gone } = round;
  using use = FileLock.try(layout.layerUse(diffId));
  if (!use) return false;
  users.refresh();
  if (users.has(diffId) || isYoung(statSync(layout.layer(diffId), { throwIfNoEntry: false })?.ctimeMs, options)) return false;
  tally.layers.push(diffId);
  gone.add(diffId);
  if (options.dryRun) {
    addSwept(tally, await weighLayer(context, { diffId, gone }, options.signal));
    return true;
  }
  const removed = join(layout.staging, `removed-${digestHex(diffId)}`);
  rmSync(removed, { recursive: true, force: true });
  renameSync(layout.layer(diffId), removed);
  addSwept(tally, await sweepLayer(context, { diffId, directory: removed }, options.signal));
  return true;
}

/** Kept blobs, by digest. A cache of what can be fetched: whoever reads one has it open. */
export function removeBlob({ layout }: GcContext, { options, tally }: Round, digest: BlobDigest): void {
  const path = layout.blob(digest);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat || isYoung(stat.ctimeMs, options)) return;
  tally.blobs.push(digest);
  tally.blobBytes += stat.size;
  if (!options.dryRun) rmSync(path, { force: true });
}
