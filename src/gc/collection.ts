/** The state that the steps of one garbage collection share. */
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { KnownImage } from "../inspect/roots.ts";
import type { DeletionQueue } from "./deletion-queue.ts";
import type { GcOptions, Tally } from "./gc-result.ts";
import type { UseCounts } from "./use-counts.ts";

export interface Collection {
  /** The images that stay. A removed image is taken out. */
  readonly images: Map<BlobDigest, KnownImage>;
  readonly uses: UseCounts;
  readonly options: GcOptions;
  readonly tally: Tally;
  /** Layers that were removed, or that a dry run would have removed. */
  readonly removedLayers: Set<DiffId>;
  /** Directories that were moved to staging and are being deleted. */
  readonly deletions: DeletionQueue;
}
