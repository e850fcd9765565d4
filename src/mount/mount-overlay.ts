/** Mounts an image's trees as one root file system. */
import { closeSync, constants, openSync, realpathSync } from "node:fs";
import { fsPath, toByteString, type ByteString } from "../bytes.ts";
import { isErrno, isError, messageOf, ShaleError } from "../errors.ts";
import { parseTreeId } from "../store/ids.ts";
import { MAX_OPTIONS, MAX_OPTION_VALUE, mountBind, mountByString, MountFlag, mountNew, unmount } from "../system/mount.ts";
import { lowerLayers, overlayOptionList, overlayOptions, type OverlayLayers, type OverlayOptions } from "./overlay-options.ts";
import { OPAQUE_XATTR } from "../tree/tree-plan.ts";

export interface MountOverlayOptions extends OverlayOptions {
  /** Default: true without an upper directory, otherwise false. */
  readonly readOnly?: boolean | undefined;
  /** Mount flags nosuid, nodev and noexec. Default false. */
  readonly nosuid?: boolean | undefined;
  readonly nodev?: boolean | undefined;
  readonly noexec?: boolean | undefined;
}

/** A mount. Disposing unmounts it. */
export class OverlayMount {
  /** Absolute, symlinks resolved. */
  readonly target: string;
  #mounted = true;

  constructor(target: string) {
    this.target = target;
  }

  /** Idempotent. `detach` unmounts although files are in use: the mount ends when they are closed. @throws MOUNT_FAILED while it is in use */
  async unmount(options: { readonly detach?: boolean | undefined } = {}): Promise<void> {
    if (!this.#mounted) return;
    unmountAt(this.target, options);
    this.#mounted = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount();
  }
}

/**
 * Mounts an image's trees, which must exist, on a directory; read-only without an upper directory. Needs the privilege to mount
 * (root, or root of a user namespace with profile `userxattr`). Keep the image open while it is mounted: its lease keeps the trees.
 * Up to 500 layers on Linux 6.8 and later; on older kernels as many as fit into 4095 bytes of options. A single layer is bind-mounted.
 * @throws MOUNT_FAILED, LIMIT_IMAGE_LAYERS, PROFILE_UNSUPPORTED
 */
export async function mountOverlay(image: OverlayLayers, target: string, options: MountOverlayOptions = {}): Promise<OverlayMount> {
  try {
    const real = realpathSync(target);
    mountAt(image, toByteString(real), options);
    return new OverlayMount(real);
  } catch (error) {
    throw ShaleError.is(error) || (isError(error) && ["TypeError", "RangeError"].includes(error.name))
      ? error
      : failed(target, "cannot be mounted on", error);
  }
}

/**
 * Unmounts a mount of `mountOverlay`, also of another process. Follows symlinks in `target` except in the last component.
 * @throws MOUNT_FAILED if nothing is mounted there, or while it is in use
 */
export async function unmountOverlay(target: string, options: { readonly detach?: boolean | undefined } = {}): Promise<void> {
  unmountAt(target, options);
}

const UNMOUNT = "cannot be unmounted";

function unmountAt(target: string, { detach = false }: { readonly detach?: boolean | undefined }): void {
  try {
    unmount(toByteString(target), { detach });
  } catch (error) {
    throw failed(target, UNMOUNT, error);
  }
}

function mountAt(image: OverlayLayers, target: ByteString, options: MountOverlayOptions): void {
  const { readOnly = options.upper === undefined, nosuid = false, nodev = false, noexec = false } = options;
  const flags =
    (readOnly ? MountFlag.readOnly : 0) | (nosuid ? MountFlag.nosuid : 0) | (nodev ? MountFlag.nodev : 0) | (noexec ? MountFlag.noexec : 0);
  if (image.profile !== "oci" && options.upper === undefined) {
    const lower = lowerLayers(image.layers, OPAQUE_XATTR[image.profile]);
    if (lower.length === 1) return mountBind(lower[0]!, target, flags);
  }
  const list = overlayOptionList(image, options);
  using paths = new ShortPaths();
  const short = list.map(([name, value]) => (value === undefined ? ([name] as const) : ([name, paths.option(name, value)] as const)));
  try {
    mountNew({ type: "overlay", options: short, flags }, target);
  } catch (error) {
    const text = overlayOptions(image, options);
    if (!isOldKernel(error) || Buffer.byteLength(text) > MAX_OPTIONS) throw error;
    mountByString("overlay", toByteString(text), { flags, target });
  }
}

/** True if the kernel lacks the mount API (before 5.2) or `lowerdir+` (before 6.8). */
function isOldKernel(error: unknown): boolean {
  return isErrno(error, "ENOSYS") || (isErrno(error, "EINVAL") && (error as NodeJS.ErrnoException).syscall === "fsconfig lowerdir+");
}

/**
 * An option of the mount API has at most 255 bytes. A longer path is passed through an open descriptor: for a tree, that of its parent plus
 * the tree's name, because the kernel shows the option in mount tables, where gc recognizes a mounted tree by its name.
 */
class ShortPaths {
  readonly #open: number[] = [];

  option(name: string, value: ByteString): ByteString {
    // the kernel interprets backslashes in these options as escapes
    const spelled = name === "lowerdir+" ? value : (value.replaceAll("\\", "\\\\") as ByteString);
    if (spelled.length <= MAX_OPTION_VALUE) return spelled;
    const slash = value.lastIndexOf("/") + 1;
    const isTree = name === "lowerdir+" && slash > 0 && parseTreeId(value.slice(slash)) !== undefined;
    const [parent, tree] = isTree ? [value.slice(0, slash), value.slice(slash)] : [value, ""];
    const fd = openSync(fsPath(parent as ByteString), constants.O_DIRECTORY | constants.O_RDONLY);
    this.#open.push(fd);
    return `/proc/self/fd/${fd}/${tree}` as ByteString;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open) closeSync(fd);
  }
}

function failed(target: string, what: string, cause: unknown): ShaleError<"MOUNT_FAILED"> {
  const next = isErrno(cause, "EPERM", "EACCES")
    ? "mount as root, or as root of a user namespace with the profile userxattr"
    : isErrno(cause, "EBUSY")
      ? "end what uses it, or detach it"
      : what === UNMOUNT && isErrno(cause, "EINVAL")
        ? "nothing is mounted there"
        : what !== UNMOUNT && isErrno(cause, "ENOENT", "ENOTDIR")
          ? "it must be a directory that is there, and the image materialized"
          : "that is what the kernel says of it";
  const message = `${JSON.stringify(target)} ${what} (${messageOf(cause).slice(0, 500)}); ${next}`;
  return new ShaleError("MOUNT_FAILED", message, { path: target }, { cause });
}
