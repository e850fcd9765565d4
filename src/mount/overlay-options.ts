/** Options of an overlay mount over an image's trees, and their escaping. */
import { toByteString, toBytes, type ByteString } from "../bytes.ts";
import { isErrno, ShaleError } from "../errors.ts";
import type { Profile } from "../store/profile.ts";
import { getPathXattr } from "../system/syscalls.ts";
import { OPAQUE_XATTR } from "../tree/tree-plan.ts";

/** The layers of an overlay; an `Image` has both fields. */
export interface OverlayLayers {
  /** Bottom to top. */
  readonly layers: readonly string[];
  readonly profile: Profile;
}

export interface OverlayOptions {
  /** Upper and work directory: `work` is an empty directory on the file system of `upper`. Both or none. */
  readonly upper?: string | undefined;
  readonly work?: string | undefined;
  /** Keep hard links together when they are copied up (`index=on`). Default false, independent of the kernel's default. */
  readonly index?: boolean | undefined;
  /** Never sync the upper directory: faster, but changes are lost if the machine crashes. Default false. */
  readonly volatile?: boolean | undefined;
}

/** OVL_MAX_STACK of the kernel. */
const MAX_LOWER_LAYERS = 500;

/**
 * Options of an overlay mount over an image's trees, for `mount -t overlay -o`, for mount(2), or for fuse-overlayfs. A colon, comma,
 * backslash or double quote in a path is escaped. mount(2), and mount(8) with it, takes 4095 bytes; `mountOverlay` has no such limit.
 * @throws LIMIT_IMAGE_LAYERS beyond 500 layers; PROFILE_UNSUPPORTED for `oci`, whose whiteouts overlayfs does not support
 */
export function overlayOptions(image: OverlayLayers, options: OverlayOptions = {}): string {
  const list = overlayOptionList(image, options);
  const lower = list.filter(([name]) => name === "lowerdir+").map(([, value]) => escapeOption(value!));
  const others = list.filter(([name]) => name !== "lowerdir+");
  const spelled = others.map(([name, value]) => (value === undefined ? name : `${name}=${escapeOption(value)}`));
  return toBytes([`lowerdir=${lower.join(":")}`, ...spelled].join(",") as ByteString).toString("utf8");
}

/** The same as single options, unescaped; one `lowerdir+` for each lower layer, the uppermost first. */
export function overlayOptionList(
  { layers, profile }: OverlayLayers,
  options: OverlayOptions,
): (readonly [name: string, value?: ByteString])[] {
  const { upper, work, index = false, volatile = false } = options;
  if (profile === "oci") {
    const message = "overlayfs does not support the whiteouts of the profile oci; pull the image with the profile overlay or userxattr";
    throw new ShaleError("PROFILE_UNSUPPORTED", message, { profile });
  }
  if ((upper === undefined) !== (work === undefined)) throw new TypeError("upper and work go together");
  const lower = lowerLayers(layers, OPAQUE_XATTR[profile]);
  if (lower.length > MAX_LOWER_LAYERS) {
    const message = `overlayfs takes ${MAX_LOWER_LAYERS} lower layers, the image has ${lower.length}; use materializeRootfs`;
    throw new ShaleError("LIMIT_IMAGE_LAYERS", message, { limit: "overlay layers", maximum: MAX_LOWER_LAYERS });
  }
  if (lower.length === 0 || (lower.length === 1 && upper === undefined))
    throw new RangeError("an overlay needs two layers, or one and an upper directory; bind-mount a single one");
  return [
    ...lower.map((path) => ["lowerdir+", path] as const),
    ...(upper === undefined ? [] : [["upperdir", toByteString(upper)] as const, ["workdir", toByteString(work!)] as const]),
    ["index", (index ? "on" : "off") as ByteString],
    ...(volatile && upper !== undefined ? [["volatile"] as const] : []),
    ...(profile === "userxattr" ? [["userxattr"] as const] : []),
  ];
}

/** Uppermost first. overlayfs ignores the opaque attribute of a layer's root, so layers below an opaque root are left out here. */
export function lowerLayers(layers: readonly string[], opaque: ByteString): ByteString[] {
  const lower: ByteString[] = [];
  for (const layer of layers.map((path) => toByteString(path)).toReversed()) {
    lower.push(layer);
    if (isOpaque(layer, opaque)) break;
  }
  return lower;
}

function isOpaque(layer: ByteString, name: ByteString): boolean {
  try {
    return getPathXattr(layer, name) === "y";
  } catch (error) {
    // the tree of a lazy pull that was not created yet
    if (isErrno(error, "ENOENT", "ENOTSUP", "EOPNOTSUPP")) return false;
    throw error;
  }
}

/** The kernel removes a backslash before any character; mount(8) would interpret quotes. */
function escapeOption(value: ByteString): string {
  return value.replaceAll(/[\\:,"]/g, String.raw`\$&`);
}
