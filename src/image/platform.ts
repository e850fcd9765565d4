/** Platforms as an image index names them. */
import { ShaleError } from "../errors.ts";
import { quote } from "./document.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

const PART: RegExp = /^[A-Za-z0-9_.-]{1,64}$/;

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

function normalizeVariant(architecture: string, variant: string): string {
  const spelled = /^[0-9]/.test(variant) ? `v${variant}` : variant;
  if (architecture === "arm") return spelled === "" ? "v7" : spelled;
  if (architecture === "arm64" && spelled === "v8") return "";
  if (architecture === "amd64" && spelled === "v1") return "";
  return spelled;
}

/** How well an image for `offered` suits who wants `wanted`: 0 is best; undefined when it cannot run there. */
export function platformRank(offered: Platform, wanted: Platform): number | undefined {
  const [has, wants] = [normalizePlatform(offered), normalizePlatform(wanted)];
  if (has.os !== wants.os || has.architecture !== wants.architecture) return undefined;
  const rank = acceptableVariants(wants.architecture, wants.variant ?? "").indexOf(has.variant ?? "");
  return rank === -1 ? undefined : rank;
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
