/** The merged root file system of an image, in a directory of the caller's. */
import type { DiffId } from "../image/digest.ts";
import type { Profile } from "../store/profile.ts";
import { makeRootfs, ROOTFS_MODES, type RootfsProgress, type RootfsResult } from "../view/make-rootfs.ts";
import type { RootfsMode } from "../view/rootfs-plan.ts";
import { rootfsMaker, type Image } from "./image.ts";
import type { StoreCore } from "../session/store-core.ts";
import { composeLayers } from "../pull/trees.ts";

export interface MaterializeRootfsOptions {
  /**
   * `link`: files are hard links into the store, in no time and no space, and must never be written. `reflink`: files of their own
   * that share blocks until they are written (btrfs, XFS). `copy`: files of their own, on any file system.
   */
  readonly mode: RootfsMode;
  /** With `reflink`: copy what cannot be reflinked, instead of failing. The result counts both. */
  readonly fallback?: "copy" | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RootfsProgress) => void) | undefined;
}

/**
 * Makes the image's layers, stacked, one directory: deletions applied, implied directories with the attributes and times of the
 * layer below that names them, hard links kept, in the image's profile. `destination` must be absent (its parent there) or an
 * empty directory; it appears when it is complete, and nothing is left when this fails. It is not synced to the disk. In the
 * `overlay` profile it may hold setuid programs: keep other users out of its parent.
 * @throws DESTINATION_UNUSABLE, MODE_UNSUPPORTED, NO_SPACE, STORE_DAMAGED, SIDECAR_INVALID, STORE_CLOSED
 */
export function materializeRootfs(image: Image, destination: string, options: MaterializeRootfsOptions): Promise<RootfsResult> {
  const { mode, fallback } = options;
  if (!ROOTFS_MODES.includes(mode)) throw new TypeError(`mode ${JSON.stringify(mode)} is none of ${ROOTFS_MODES.join(", ")}`);
  if (fallback !== undefined && (fallback !== "copy" || mode !== "reflink"))
    throw new TypeError("fallback is for the mode reflink, and is copy");
  return rootfsMaker(image)(destination, options);
}

export interface RootfsContext {
  readonly core: StoreCore;
  readonly diffIds: readonly DiffId[];
  readonly profile: Profile;
}

/** What `materializeRootfs` does for one image. */
export function makeRootfsOf(
  { core, diffIds, profile }: RootfsContext,
  destination: string,
  options: MaterializeRootfsOptions,
): Promise<RootfsResult> {
  const { profile: native, owner } = core.superblock;
  return core.run(options.signal, async (signal) => {
    const composed = await composeLayers(diffIds, { core, profile });
    const layers = diffIds.map((diffId, index) => ({
      sidecar: core.layers.sidecarPath(diffId),
      resolution: composed[index]!.resolution,
      vouchedBefore: core.layers.vouchedBefore(diffId),
    }));
    const { chunks, root: store } = core.layout;
    const staging = core.staging.directory;
    const { trust } = core;
    const task = { layers, chunks, staging, trust, profile, native, owner, mode: options.mode, fallback: options.fallback === "copy" };
    return makeRootfs({ pool: core.pool, task, destination, store, signal, onProgress: guarded(options.onProgress) });
  });
}

/** The sink's faults are its own. */
function guarded(sink: MaterializeRootfsOptions["onProgress"]): (progress: RootfsProgress) => void {
  return (progress) => {
    try {
      sink?.(progress);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  };
}
