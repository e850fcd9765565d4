/** The options of `openStore`. */
import type { GcResult } from "../gc/gc-result.ts";
import type { Warn } from "../errors.ts";
import type { Profile } from "../store/profile.ts";

export interface StoreOptions {
  /** Native profile of a store that is created now. Default: the first that this user and file system support. An existing store keeps its own. */
  readonly profile?: Profile | undefined;
  /** Worker threads. Default 2, or 1 on a machine with one core; more were not faster (docs/performance.md). */
  readonly workers?: number | undefined;
  /** Reuse a layer or config only if the image's own repository has served that blob: see SECURITY.md. Default false. */
  readonly requireProof?: boolean | undefined;
  /**
   * Budget in bytes for file contents and kept blobs. After each pull that added data, images that only a reference keeps are removed,
   * least recently used first, until the rest fits. Default: no limit.
   */
  readonly maxBytes?: number | undefined;
  /** With `maxBytes`: ms during which a used image is not removed. Default 5 minutes. */
  readonly keepYoungerMs?: number | undefined;
  /** With `maxBytes`: called with what was removed. An exception becomes a warning. */
  readonly onEvicted?: ((result: GcResult) => void) | undefined;
  /**
   * Bytes of the file system that a pull must leave free. A pull that would not, by an estimate (docs/store.md), fails with LOW_DISK before
   * it fetches a layer. Default: it fails only if its blobs alone do not fit. -Infinity: never.
   */
  readonly minFreeBytes?: number | undefined;
  /** Called with damage that was found and repaired or worked around. Must not throw. */
  readonly onWarning?: Warn | undefined;
  readonly signal?: AbortSignal | undefined;
}
