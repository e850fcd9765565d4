/** Options and result of a garbage collection. */
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { Reason } from "../inspect/roots.ts";
import type { TreeId } from "../store/ids.ts";

export interface GcOptions {
  /** Report what would be removed, and remove nothing. Counts and bytes hold if the store does not change until the removal. */
  readonly dryRun?: boolean | undefined;
  /**
   * Also evict images that only references keep, the least recently used first, until the files' contents and the kept blobs take no
   * more than this many bytes. Default: the store's `maxBytes`, if it has one.
   */
  readonly keepBytes?: number | undefined;
  /** Keep what was pulled or used in the last `keepYoungerMs` ms. Default 5 minutes. */
  readonly keepYoungerMs?: number | undefined;
  /** Also drop trees of images that stay, unless they are in use. The next pull or `materialize` makes them again. */
  readonly trees?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GcResult {
  readonly images: readonly BlobDigest[];
  /** The references of evicted images. They are removed with their image. */
  readonly references: readonly { readonly reference: string; readonly platform: string; readonly manifestDigest: BlobDigest }[];
  readonly layers: readonly DiffId[];
  /** Tree ids. */
  readonly trees: readonly TreeId[];
  /** With `trees`: the trees that stay because they are in use. */
  readonly treesInUse: readonly TreeInUse[];
  /** Kept blobs of removed images. */
  readonly blobs: readonly BlobDigest[];
  /** The blob digests of downloads that were interrupted more than a day ago. */
  readonly downloads: readonly string[];
  /** The number of removed inodes (a content with its attributes counts once), and the bytes of their content. */
  readonly chunks: number;
  readonly bytes: number;
  /** Bytes of `blobs` and `downloads`. */
  readonly blobBytes: number;
  /** With a budget: the bytes that the files' contents and kept blobs take afterwards. Exceeds the budget if the rest is in use. */
  readonly remainingBytes?: number;
}

/** A tree that was not dropped, and the first reason found. */
export interface TreeInUse {
  readonly treeId: TreeId;
  readonly reason: Reason;
}

/** The result while the collection runs. */
export interface Tally {
  images: BlobDigest[];
  references: GcResult["references"][number][];
  layers: DiffId[];
  trees: TreeId[];
  treesInUse: TreeInUse[];
  blobs: BlobDigest[];
  downloads: string[];
  chunks: number;
  bytes: number;
  blobBytes: number;
  remainingBytes?: number;
}

export function emptyTally(): Tally {
  const lists = { images: [], references: [], layers: [], trees: [], treesInUse: [], blobs: [], downloads: [] };
  return { ...lists, chunks: 0, bytes: 0, blobBytes: 0 };
}

export function addSwept(tally: Tally, { chunks, bytes }: { chunks: number; bytes: number }): void {
  tally.chunks += chunks;
  tally.bytes += bytes;
}
