/** Platforms as an image index names them. */
import { ShaleError } from "../errors.ts";
import { quote } from "./document.ts";

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
  /** Features of the operating system that an image needs or a host has (`win32k`); sorted, without duplicates. */
  readonly osFeatures?: readonly string[];
}

const PART: RegExp = /^[A-Za-z0-9_.-]{1,64}$/;
/** `windows(10.0.17763+win32k)`; version and features are optional. */
const OS: RegExp = /^([A-Za-z0-9_.-]{1,64})(?:\(([A-Za-z0-9_.-]{0,64})((?:\+[A-Za-z0-9_.-]{1,64}){0,16})\))?$/;

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

/** The normalized platform of this process. An amd64 host counts as the baseline; request `linux/amd64/v3` explicitly. */
export function hostPlatform(): Platform {
  const architecture = NODE_ARCHITECTURES.get(process.arch) ?? process.arch;
  const armVersion = architecture === "arm" ? (process.config.variables as { arm_version?: string | number }).arm_version : undefined;
  return normalizePlatform({ os: process.platform, architecture, ...(armVersion !== undefined && { variant: String(armVersion) }) });
}

/** @throws PLATFORM_INVALID unless the text is `os/arch` or `os/arch/variant`; `os` may be `os(version+feature)`, as in containerd. */
export function parsePlatform(text: string): Platform {
  const [first = "", architecture = "", variant, ...rest] = text.split("/", 5);
  const [, os, osVersion = "", features = ""] = OS.exec(first) ?? [];
  if (os === undefined || rest.length > 0 || ![architecture, variant ?? "none"].every((part) => PART.test(part))) {
    const message = `platform ${quote(text)} is malformed; expected os/arch or os/arch/variant, as in linux/arm64`;
    throw new ShaleError("PLATFORM_INVALID", message, { platform: text.slice(0, 200) });
  }
  const osFeatures = features.split("+").slice(1);
  return normalizePlatform({
    os,
    architecture,
    osFeatures,
    ...(osVersion !== "" && { osVersion }),
    ...(variant !== undefined && { variant }),
  });
}

/** `os[(version+features)]/arch[/variant]`. The parts may come from an untrusted document: escape the text before showing it. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant, osVersion = "", osFeatures = [] } = platform;
  const options = [osVersion, ...osFeatures].join("+");
  return `${os}${options === "" ? "" : `(${options})`}/${architecture}${variant === undefined ? "" : `/${variant}`}`;
}

/** Normalizes the spelling as containerd does: x86_64 is amd64, armhf is arm/v7, amd64/v1 and arm64/v8 have no variant. */
export function normalizePlatform(platform: Platform): Platform {
  const named = platform.architecture.toLowerCase();
  const known = OTHER_SPELLINGS.get(named);
  const architecture = known?.architecture ?? named;
  const variant = normalizeVariant(architecture, (platform.variant ?? known?.variant ?? "").toLowerCase());
  const os = platform.os.toLowerCase();
  const osFeatures = [...new Set(platform.osFeatures)].toSorted();
  return {
    os: os === "macos" ? "darwin" : os,
    architecture,
    ...(variant !== "" && { variant }),
    ...(platform.osVersion !== undefined && { osVersion: platform.osVersion }),
    ...(osFeatures.length > 0 && { osFeatures }),
  };
}

function normalizeVariant(architecture: string, variant: string): string {
  const spelled = /^[0-9]/.test(variant) ? `v${variant}` : variant;
  if (architecture === "arm") return spelled === "" ? "v7" : spelled;
  if (architecture === "arm64" && (spelled === "v8" || spelled === "v8.0")) return "";
  if (architecture === "arm64" && spelled === "v9.0") return "v9";
  if (architecture === "amd64" && spelled === "v1") return "";
  return spelled;
}
