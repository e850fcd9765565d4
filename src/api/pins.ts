/** Pins of references: `Store.pin`, `unpin` and `pins`. */
import { ShaleError } from "../errors.ts";
import type { BlobDigest } from "../image/digest.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "../image/platform.ts";
import { formatReference, parseReference } from "../image/reference.ts";
import type { PinRecord } from "../store/pins.ts";
import type { StoreCore } from "../session/store-core.ts";

export interface Pin extends PinRecord {
  /** The image that the reference names now; missing if it names none any more. */
  readonly manifestDigest?: BlobDigest;
}

/** A reference and a platform in canonical form. @throws REFERENCE_INVALID, PLATFORM_INVALID */
export function nameOf(reference: string, { platform }: { readonly platform?: string | undefined }): PinRecord {
  return {
    reference: formatReference(parseReference(reference)),
    platform: formatPlatform(platform === undefined ? hostPlatform() : parsePlatform(platform)),
  };
}

/** Holds the image's lease meanwhile, so that a concurrent gc either sees the pin or skips the image. */
export async function pinReference(core: StoreCore, name: PinRecord, signal: AbortSignal): Promise<void> {
  const resolve = (): BlobDigest => core.images.resolve(name.reference, name.platform) ?? missing(name);
  for (;;) {
    const digest = resolve();
    using lease = await core.leases.takeSoon(digest, signal);
    void lease;
    // while this waited, the reference may have been removed or moved
    if (resolve() !== digest) continue;
    core.pins.write(name);
    core.leases.touch(digest);
    return;
  }
}

export function pinOf(core: StoreCore, pin: PinRecord): Pin {
  const manifestDigest = core.images.resolve(pin.reference, pin.platform);
  return { ...pin, ...(manifestDigest && { manifestDigest }) };
}

export function byName(a: PinRecord, b: PinRecord): number {
  return a.reference < b.reference || (a.reference === b.reference && a.platform < b.platform) ? -1 : 1;
}

export function pinnedError({ reference, platform }: PinRecord): ShaleError<"REFERENCE_PINNED"> {
  const message = `${JSON.stringify(reference)} (${platform}) is pinned; unpin it first, or remove it with \`force\``;
  return new ShaleError("REFERENCE_PINNED", message, { reference, platform });
}

function missing({ reference, platform }: PinRecord): never {
  const message = `${JSON.stringify(reference)} (${platform}) is not in the store and cannot be pinned; pull it first`;
  throw new ShaleError("NOT_CACHED", message, { reference });
}
