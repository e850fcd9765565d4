/** Making room: images that only their references keep go, the least recently used first, until the rest fits. */
import { join } from "node:path";
import type { GcContext } from "../inspect/store-parts.ts";
import { countContents } from "./count-contents.ts";
import { filesIn } from "../inspect/files-in.ts";
import { removeBlob, removeImage, removeLayer, removeTree } from "./remove-objects.ts";
import type { Round } from "./collection.ts";

export async function keepBudget(context: GcContext, round: Round, keepBytes: number): Promise<void> {
  const { images, options, tally } = round;
  // in a dry run what would have gone by now is still there
  const planned = options.dryRun ? tally.bytes + tally.blobBytes : 0;
  const size = (await countContents(context, options.signal)).bytes + filesIn(join(context.layout.root, "blobs")).bytes - planned;
  const before = tally.bytes + tally.blobBytes;
  const remaining = (): number => size - (tally.bytes + tally.blobBytes - before);
  const candidates = [...images.values()].filter(({ reasons }) => reasons.every(({ kind }) => kind === "reference"));
  // nothing that an image of the budget's choice leaves behind is worth keeping
  const now: Round = { ...round, options: { ...options, keepYoungerMs: 0 } };
  for (const image of candidates.toSorted((a, b) => a.lastUse - b.lastUse)) {
    if (remaining() <= keepBytes) break;
    options.signal?.throwIfAborted();
    const unused = removeImage(context, now, image);
    if (!unused) continue;
    for (const treeId of unused.trees) removeTree(context, now, treeId);
    for (const diffId of unused.layers) await removeLayer(context, now, diffId);
    for (const digest of unused.blobs) removeBlob(context, now, digest);
  }
  tally.remainingBytes = remaining();
}
