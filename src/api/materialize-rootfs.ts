/** Writes the merged root file system of an image into a directory of the caller. */
import { composeLayers } from "../pull/trees.ts";
import { notifyUser } from "../system/user-callback.ts";
import { makeRootfs, ROOTFS_MODES, type RootfsProgress, type RootfsResult } from "../view/make-rootfs.ts";
import type { RootfsMode } from "../view/rootfs-plan.ts";
import { checkArgument, checkOptions, isFunction, isOneOf, isSignal, isText } from "./check-options.ts";
import { Image } from "./image.ts";

export interface MaterializeRootfsOptions {
  /**
   * `link`: files are hard links into the store; takes no space, but the files must never be written. `reflink`: separate files that share
   * blocks until they are written (btrfs, XFS). `copy`: separate files, on any file system.
   */
  readonly mode: RootfsMode;
  /** With `reflink`: copy files that cannot be reflinked, instead of failing. The result counts both. */
  readonly fallback?: "copy" | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RootfsProgress) => void) | undefined;
}

/**
 * Stacks the image's layers in one directory, in the image's profile: deletions applied, hard links kept, implied directories with the
 * attributes and times of the lower layer that names them. `destination` must be missing (its parent must exist) or an empty directory. It
 * appears when it is complete; a failure leaves nothing. It is not synced to the disk. In the `overlay` profile it may contain setuid
 * programs: do not let other users access its parent.
 * @throws DESTINATION_UNUSABLE, MODE_UNSUPPORTED, NO_SPACE, STORE_DAMAGED, SIDECAR_INVALID, STORE_CLOSED, TypeError, RangeError
 */
export async function materializeRootfs(image: Image, destination: string, options: MaterializeRootfsOptions): Promise<RootfsResult> {
  checkArgument("materializeRootfs", "destination", destination, isText);
  checkOptions("materializeRootfs", options, {
    mode: isOneOf(...ROOTFS_MODES),
    fallback: isOneOf("copy"),
    signal: isSignal,
    onProgress: isFunction,
  });
  const { mode, fallback, onProgress } = options;
  checkArgument("materializeRootfs", "mode", mode, isOneOf(...ROOTFS_MODES));
  if (fallback !== undefined && mode !== "reflink") throw new TypeError("materializeRootfs(): fallback needs the mode reflink");
  const { session, pulled } = Image.internals(image);
  const diffIds = pulled.record.layers.map(({ diffId }) => diffId);
  return session.run(options.signal, async (signal) => {
    const store = await session.whole();
    const { profile } = pulled;
    const composed = await composeLayers(diffIds, { store, profile });
    const layers = diffIds.map((diffId, index) => ({
      sidecar: store.layers.sidecarPath(diffId),
      resolution: composed[index]!.resolution,
      vouchedBefore: store.layers.vouchedBefore(diffId),
    }));
    const { chunks, root } = store.layout;
    const { profile: native, owner } = store.superblock;
    const task = {
      layers,
      chunks,
      staging: store.staging.directory,
      trust: store.trust,
      profile,
      native,
      owner,
      mode,
      fallback: fallback === "copy",
    };
    const report = (progress: RootfsProgress): void => notifyUser("onProgress", () => onProgress?.(progress));
    return makeRootfs({ pool: store.pool, task, destination, store: root, signal, onProgress: report });
  });
}
