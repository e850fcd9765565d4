/** What a collection was asked for, and what came of it. */
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { Reason } from "../inspect/roots.ts";

export interface GcOptions {
  /** Say what would go, and remove nothing. Counts and bytes are what the removal would give if nothing changed until then. */
  readonly dryRun?: boolean | undefined;
  /**
   * Also remove images that only references keep, least recently used first, until the files' contents and the kept blobs take at
   * most this many bytes. Default: the store's `maxBytes`, if it has one.
   */
  readonly keepBytes?: number | undefined;
  /** Keep what was pulled or used in the last so many ms; default 5 minutes. */
  readonly keepYoungerMs?: number | undefined;
  /** Also drop the trees of images that stay, where nothing uses them: the next pull or `materialize` makes them again. */
  readonly trees?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface GcResult {
  readonly images: readonly BlobDigest[];
  /** The names that went with images that were removed to make room. */
  readonly references: readonly { readonly reference: string; readonly platform: string; readonly manifestDigest: BlobDigest }[];
  readonly layers: readonly DiffId[];
  /** Tree ids. */
  readonly trees: readonly string[];
  /** With `trees`: those that stay since something uses them. */
  readonly treesInUse: readonly TreeInUse[];
  /** Kept blobs whose images are gone. */
  readonly blobs: readonly BlobDigest[];
  /** Downloads that were cut off more than a day ago: their blob digests. */
  readonly downloads: readonly string[];
  /** Files of chunks/, each content with its attributes once, and the bytes of their content. */
  readonly chunks: number;
  readonly bytes: number;
  /** Bytes of `blobs` and `downloads`. */
  readonly blobBytes: number;
  /** With a budget: bytes that the files' contents and kept blobs take afterwards. More than the budget if the rest is in use. */
  readonly remainingBytes?: number;
}

/** A tree that could not be dropped, and the first thing found that uses it. */
export interface TreeInUse {
  readonly treeId: string;
  readonly reason: Reason;
}

/** A result in the making. */
export interface Tally {
  images: BlobDigest[];
  references: GcResult["references"][number][];
  layers: DiffId[];
  trees: string[];
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
