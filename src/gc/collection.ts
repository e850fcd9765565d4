/** What the steps of one collection share. */
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { GcOptions, Tally } from "./gc-result.ts";
import type { KnownImage } from "../inspect/roots.ts";
import type { Trash } from "./deletion-queue.ts";
import type { Users } from "./use-counts.ts";

export interface Round {
  /** Those that stay; what is removed is taken out. */
  readonly images: Map<BlobDigest, KnownImage>;
  readonly users: Users;
  readonly options: GcOptions;
  readonly tally: Tally;
  /** Layers that are gone, or in a dry run would be. */
  readonly gone: Set<DiffId>;
  /** Trees that are out of sight. */
  readonly trash: Trash;
}

export const KEEP_YOUNGER_MS: number = 5 * 60 * 1000;

export function isYoung(time: number | undefined, { keepYoungerMs = KEEP_YOUNGER_MS }: GcOptions): boolean {
  return time === undefined || Date.now() - time < keepYoungerMs;
}
