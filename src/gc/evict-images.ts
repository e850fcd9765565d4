/** Evicts images to keep a byte budget: images that only references keep, the least recently used first. */
import type { GcParts } from "./gc-parts.ts";
import { filesIn } from "../inspect/usage.ts";
import type { Collection } from "./collection.ts";
import { countContents } from "./count-contents.ts";
import { removeBlob, removeImage, removeLayer, removeTree } from "./remove-objects.ts";

/** Evicts images, each with the objects that no other image has, until contents and kept blobs take at most `keepBytes`. */
export async function evictImages(parts: GcParts, collection: Collection, keepBytes: number): Promise<void> {
  const { images, options, tally } = collection;
  // a dry run has deleted nothing yet, so the bytes that it would have freed are still counted
  const planned = options.dryRun ? tally.bytes + tally.blobBytes : 0;
  const size = (await countContents(parts, options.signal)).bytes + filesIn(parts.layout.blobs).bytes - planned;
  const before = tally.bytes + tally.blobBytes;
  const remaining = (): number => size - (tally.bytes + tally.blobBytes - before);
  const candidates = [...images.values()].filter(({ reasons }) => reasons.every(({ kind }) => kind === "reference"));
  // the layers of an evicted image go at once, however young they are
  const now: Collection = { ...collection, options: { ...options, keepYoungerMs: 0 } };
  for (const image of candidates.toSorted((a, b) => a.lastUse - b.lastUse)) {
    if (remaining() <= keepBytes) break;
    options.signal?.throwIfAborted();
    const unused = removeImage(parts, now, image);
    if (!unused) continue;
    for (const treeId of unused.trees) removeTree(parts, now, treeId);
    for (const diffId of unused.layers) await removeLayer(parts, now, diffId);
    for (const digest of unused.blobs) removeBlob(parts, now, digest);
  }
  tally.remainingBytes = remaining();
}
