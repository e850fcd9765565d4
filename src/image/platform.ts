/** Platforms as an image index names them, and the one place where an entry of an image index is chosen. */
import { escapeText } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import { quote } from "./document.ts";
import { isManifestMediaType } from "./media-type.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

const PART: RegExp = /^[A-Za-z0-9_.-]{1,64}$/;
const MAX_LISTED = 32;

const NODE_ARCHITECTURES: ReadonlyMap<string, string> = new Map([
  ["x64", "amd64"],
  ["ia32", "386"],
  ["ppc64", "ppc64le"],
  ["mipsel", "mipsle"],
  ["mips64el", "mips64le"],
]);

const OTHER_SPELLINGS: ReadonlyMap<string, { architecture: string; variant?: string }> = new Map([
  ["x86_64", { architecture: "amd64" }],
  ["x86-64", { architecture: "amd64" }],
  ["i386", { architecture: "386" }],
  ["i686", { architecture: "386" }],
  ["aarch64", { architecture: "arm64" }],
  ["armhf", { architecture: "arm", variant: "v7" }],
  ["armel", { architecture: "arm", variant: "v6" }],
]);

/** The platform of the running process, normalised. An amd64 host is the baseline: ask for `linux/amd64/v3` to get more. */
export function hostPlatform(): Platform {
  const architecture = NODE_ARCHITECTURES.get(process.arch) ?? process.arch;
  const armVersion = architecture === "arm" ? (process.config.variables as { arm_version?: string | number }).arm_version : undefined;
  return normalizePlatform({ os: process.platform, architecture, ...(armVersion !== undefined && { variant: String(armVersion) }) });
}

/** @throws PLATFORM_INVALID unless the text is `os/arch` or `os/arch/variant`. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.split("/", 5);
  const parts = [os, architecture, variant ?? "none"];
  if (rest.length > 0 || !parts.every((part) => part !== undefined && PART.test(part))) {
    throw new ShaleError(
      "PLATFORM_INVALID",
      `platform ${quote(text)} is malformed; expected os/arch or os/arch/variant, as in linux/arm64`,
      {
        platform: text.slice(0, 200),
      },
    );
  }
  return normalizePlatform({ os: os ?? "", architecture: architecture ?? "", ...(variant !== undefined && { variant }) });
}

/** `os/arch[/variant]`. The parts may come from a stranger's document: escape before showing. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** One spelling for each platform, as containerd has it: x86_64 is amd64, armhf is arm/v7, amd64/v1 and arm64/v8 have no variant. */
export function normalizePlatform(platform: Platform): Platform {
  const named = platform.architecture.toLowerCase();
  const known = OTHER_SPELLINGS.get(named);
  const architecture = known?.architecture ?? named;
  const variant = normalizeVariant(architecture, (platform.variant ?? known?.variant ?? "").toLowerCase());
  const os = platform.os.toLowerCase();
  return {
    os: os === "macos" ? "darwin" : os,
    architecture,
    ...(variant !== "" && { variant }),
    ...(platform.osVersion !== undefined && { osVersion: platform.osVersion }),
  };
}

/**
 * The entry of an image index to take for a platform. Among entries of the same os and architecture the best variant
 * that the wanted one can run wins (arm/v7 takes v7, v6, v5; amd64/v3 takes v3, v2, the baseline), then document order.
 * Failing that, the first entry that names no platform: a nested image index, or a manifest whose config must be checked.
 * Attestations and media types that are no image are never chosen; no other architecture ever stands in.
 *
 * @throws PLATFORM_NOT_FOUND with what exists
 */
export function choosePlatform(descriptors: readonly Descriptor[], wanted: Platform): Descriptor {
  const { os, architecture, variant } = normalizePlatform(wanted);
  const acceptable = acceptableVariants(architecture, variant ?? "");
  const images = descriptors.filter(isImage);
  let best: Descriptor | undefined;
  let bestRank = acceptable.length;
  for (const descriptor of images) {
    if (descriptor.platform === undefined) continue;
    const offered = normalizePlatform(descriptor.platform);
    if (offered.os !== os || offered.architecture !== architecture) continue;
    const rank = acceptable.indexOf(offered.variant ?? "");
    if (rank !== -1 && rank < bestRank) [best, bestRank] = [descriptor, rank];
  }
  const chosen = best ?? images.find((descriptor) => descriptor.platform === undefined);
  if (chosen === undefined) throw notFound(images, wanted);
  return chosen;
}

function isImage(descriptor: Descriptor): boolean {
  if (!isManifestMediaType(descriptor.mediaType)) return false;
  if (descriptor.annotations?.["vnd.docker.reference.type"] !== undefined) return false;
  return descriptor.platform?.os !== "unknown" && descriptor.platform?.architecture !== "unknown";
}

function normalizeVariant(architecture: string, variant: string): string {
  const spelled = /^[0-9]/.test(variant) ? `v${variant}` : variant;
  if (architecture === "arm") return spelled === "" ? "v7" : spelled;
  if (architecture === "arm64" && spelled === "v8") return "";
  if (architecture === "amd64" && spelled === "v1") return "";
  return spelled;
}

/** Best first; "" is the baseline of every architecture but arm. */
function acceptableVariants(architecture: string, variant: string): readonly string[] {
  const level = Number(/^v([1-9])$/.exec(variant)?.[1] ?? 0);
  const lowest = architecture === "arm" ? 5 : 2;
  const ladder: string[] = [];
  if (architecture === "arm" || architecture === "amd64") {
    for (let step = level - 1; step >= lowest; step--) ladder.push(`v${step}`);
  }
  return architecture === "arm" ? [variant, ...ladder] : [...new Set([variant, ...ladder, ""])];
}

function notFound(images: readonly Descriptor[], wanted: Platform): ShaleError<"PLATFORM_NOT_FOUND"> {
  const platforms = images.flatMap(({ platform }) =>
    platform === undefined ? [] : [formatPlatform(normalizePlatform(platform)).slice(0, 200)],
  );
  const available = [...new Set(platforms)].slice(0, MAX_LISTED).map((text) => escapeText(text));
  const platform = formatPlatform(wanted);
  const exists = available.length === 0 ? "it has none" : `it has ${available.join(", ")}`;
  return new ShaleError("PLATFORM_NOT_FOUND", `the image index has no image for ${quote(platform)}; ${exists}`, { platform, available });
}
