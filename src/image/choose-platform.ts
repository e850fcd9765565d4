/** Chooses the entry of an image index for a platform. */
import { escapeText } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import { quote } from "./document.ts";
import { isManifestMediaType } from "./media-type.ts";
import { compareReleases, platformRank } from "./match-platform.ts";
import { formatPlatform, normalizePlatform, type Platform } from "./platform.ts";

const MAX_LISTED = 32;

/**
 * Returns the entry of an image index for a platform. Among entries of the same os and architecture it prefers the best variant that the
 * platform can run (arm/v7 runs v7, v6, v5; amd64/v3 runs v3, v2, the baseline), then the later Windows release, then document order.
 * If no entry matches, it returns the first entry without a platform: a nested image index, or a manifest whose config must be checked.
 * It never chooses attestations, other media types, or another architecture.
 *
 * @throws PLATFORM_NOT_FOUND, with the platforms that exist
 */
export function choosePlatform(descriptors: readonly Descriptor[], wanted: Platform): Descriptor {
  const images = descriptors.filter(isImage);
  let best: Descriptor | undefined;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const descriptor of images) {
    const rank = descriptor.platform && platformRank(descriptor.platform, wanted);
    if (rank === undefined || rank > bestRank) continue;
    const later = best?.platform && descriptor.platform ? compareReleases(descriptor.platform, best.platform) > 0 : false;
    if (rank < bestRank || later) [best, bestRank] = [descriptor, rank];
  }
  const chosen = best ?? images.find((descriptor) => descriptor.platform === undefined);
  if (chosen === undefined)
    throw notFound(
      "the image index",
      images.flatMap(({ platform }) => platform ?? []),
      wanted,
    );
  return chosen;
}

function isImage(descriptor: Descriptor): boolean {
  if (!isManifestMediaType(descriptor.mediaType)) return false;
  if (descriptor.annotations?.["vnd.docker.reference.type"] !== undefined) return false;
  return descriptor.platform?.os !== "unknown" && descriptor.platform?.architecture !== "unknown";
}

/** Refuses an image for another platform, if no image index chose it. @throws PLATFORM_NOT_FOUND */
export function refusePlatform(offered: Platform, wanted: Platform): void {
  if (platformRank(offered, wanted) === undefined) throw notFound("the image", [offered], wanted);
}

function notFound(what: string, platforms: readonly Platform[], wanted: Platform): ShaleError<"PLATFORM_NOT_FOUND"> {
  const names = platforms.map((platform) => escapeText(formatPlatform(normalizePlatform(platform)).slice(0, 200)));
  const available = [...new Set(names)].slice(0, MAX_LISTED);
  const platform = formatPlatform(wanted);
  const exists = available.length === 0 ? "it names no platform" : `request one that it has: ${available.join(", ")}`;
  return new ShaleError("PLATFORM_NOT_FOUND", `${what} has no image for ${quote(platform)}; ${exists}`, {
    platform,
    available,
  });
}
