/** Mounts that keep their image: an overlay mount with a named lease that lasts until it is unmounted. */
import { realpathSync } from "node:fs";
import { isErrno, ShaleError } from "../errors.ts";
import { mountOverlay, unmountOverlay, type MountOverlayOptions } from "../mount/mount-overlay.ts";
import { checkOptions, isBoolean, isText } from "./check-options.ts";
import type { Image } from "./image.ts";
import type { Store } from "./store.ts";

export interface ImageMount {
  /** Absolute, without symlinks. */
  readonly target: string;
  /** The name of the lease that keeps the image. */
  readonly lease: string;
}

export interface UnmountResult {
  readonly target: string;
  /** False if nothing was mounted there any more, for example after a reboot. */
  readonly unmounted: boolean;
  /** True if there was a lease, which has ended. */
  readonly released: boolean;
}

/**
 * Mounts a materialized image like `mountOverlay`, and keeps it by a lease with the name `mount:TARGET` until `unmountImage`, beyond the
 * life of this process and a reboot. The image may be closed afterwards.
 * @throws MOUNT_FAILED, LIMIT_IMAGE_LAYERS, PROFILE_UNSUPPORTED, STORE_CLOSED
 */
export async function mountImage(store: Store, image: Image, target: string, options: MountOverlayOptions = {}): Promise<ImageMount> {
  checkOptions("mountImage", options, {
    upper: isText,
    work: isText,
    index: isBoolean,
    volatile: isBoolean,
    readOnly: isBoolean,
    nosuid: isBoolean,
    nodev: isBoolean,
    noexec: isBoolean,
  });
  const mounted = await mountOverlay(image, target, options);
  const lease = leaseName(mounted.target);
  try {
    await store.lease(lease, image);
  } catch (error) {
    await mounted.unmount();
    throw error;
  }
  return { target: mounted.target, lease };
}

/**
 * Unmounts what `mountImage` mounted, in any process, and ends its lease. `detach` unmounts although files are in use: the mount disappears
 * at once and ends with its last user. After a reboot, when nothing is mounted any more, it only ends the lease.
 * @throws MOUNT_FAILED if the directory is missing, if it has neither a mount nor a lease, or while it is in use
 */
export async function unmountImage(
  store: Store,
  target: string,
  options: { readonly detach?: boolean | undefined } = {},
): Promise<UnmountResult> {
  checkOptions("unmountImage", options, { detach: isBoolean });
  const path = realPath(target);
  let failure: unknown;
  try {
    await unmountOverlay(path, options);
  } catch (error) {
    // EINVAL: not a mount point; the lease of a mount that ended another way is still released
    if (!ShaleError.is(error, "MOUNT_FAILED") || !isErrno(error.cause, "EINVAL")) throw error;
    failure = error;
  }
  const released = await store.release(leaseName(path));
  if (failure !== undefined && !released) throw failure as Error;
  return { target: path, unmounted: failure === undefined, released };
}

function leaseName(target: string): string {
  return `mount:${target}`;
}

function realPath(target: string): string {
  try {
    return realpathSync(target);
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) throw error;
    const message = `${JSON.stringify(target)} cannot be unmounted: the directory does not exist`;
    throw new ShaleError("MOUNT_FAILED", message, { path: target }, { cause: error });
  }
}
