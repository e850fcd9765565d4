/**
 * Decides which images a platform can run, by the rules of containerd's matcher (https://github.com/containerd/platforms), with one
 * exception: another architecture never matches (386 on amd64, arm on arm64). Only the kernel knows whether that runs, so the user must
 * request it explicitly.
 */
import { normalizePlatform, type Platform } from "./platform.ts";

/** Windows Server 2022: the first release whose images run on newer releases. */
const STABLE_BUILD = 20_348;
/** The rank of an image without a variant, on an architecture without a lowest variant. */
const NO_NEEDS = 1e9;

/** How well an image for `offered` matches the platform `wanted`: 0 is best; undefined if it cannot run there. */
export function platformRank(offered: Platform, wanted: Platform): number | undefined {
  const [has, wants] = [normalizePlatform(offered), normalizePlatform(wanted)];
  if (has.os !== wants.os || has.architecture !== wants.architecture) return undefined;
  const features = new Set(wants.osFeatures);
  if (has.osFeatures?.some((feature) => !features.has(feature)) === true) return undefined;
  if (has.os === "windows" && !runsOnWindows(has.osVersion, wants.osVersion)) return undefined;
  return variantRank(has.architecture, has.variant ?? "", wants.variant ?? "");
}

/** Positive if `a` is a later Windows release than `b`. Among images that run, the later one is closer to the host. */
export function compareReleases(a: Platform, b: Platform): number {
  if (a.os.toLowerCase() !== "windows") return 0;
  const [left, right] = [a, b].map(({ osVersion = "" }) =>
    osVersion.split(".", 8).map((part) => Number(/^[0-9]{1,9}$/.exec(part)?.[0] ?? 0)),
  );
  for (let at = 0; at < 8; at++) {
    const difference = (left?.[at] ?? 0) - (right?.[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Before Server 2022 the build must equal the host's. An image or a host without a version matches any. */
function runsOnWindows(image: string | undefined, host: string | undefined): boolean {
  const wants = parseRelease(host);
  if (wants === undefined || image === undefined || image === "") return true;
  const has = parseRelease(image);
  if (has === undefined || has.major !== wants.major || has.minor !== wants.minor) return false;
  return wants.build < STABLE_BUILD ? has.build === wants.build : has.build >= STABLE_BUILD && has.build <= wants.build;
}

function parseRelease(version: string | undefined): { major: number; minor: number; build: number } | undefined {
  const match = /^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,5})(?:\.|$)/.exec(version ?? "");
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]), build: Number(match[3]) };
}

function variantRank(architecture: string, has: string, wants: string): number | undefined {
  if (has === wants) return 0;
  switch (architecture) {
    case "amd64":
      return stepsDown(has || "v1", wants || "v1", 1);
    case "arm":
      return stepsDown(has, wants, 5);
    case "arm64":
      return armRank(has || "v8", wants || "v8");
    default:
      return has === "" ? NO_NEEDS : stepsDown(has, wants, 0);
  }
}

/** The difference of two numbered variants of the same form: v3 to v2, power10 to power9, rva23u64 to rva22u64. */
function stepsDown(has: string, wants: string, lowest: number): number | undefined {
  const form = /^([a-z]*)([0-9]{1,6})([a-z][a-z0-9]*)?$/;
  const [offered, wanted] = [form.exec(has), form.exec(wants)];
  if (offered === null || wanted === null || offered[1] !== wanted[1] || offered[3] !== wanted[3]) return undefined;
  const [from, to] = [Number(wanted[2]), Number(offered[2])];
  return to >= lowest && to <= from ? from - to : undefined;
}

/** By Arm's definition v9.N includes v8.(N + 5); the last v8 is v8.9. */
function armRank(has: string, wants: string): number | undefined {
  const form = /^v([89])(?:\.([0-9]))?$/;
  const [offered, wanted] = [form.exec(has), form.exec(wants)];
  if (offered === null || wanted === null) return undefined;
  const [from, to] = [Number(wanted[2] ?? 0), Number(offered[2] ?? 0)];
  if (offered[1] === wanted[1]) return to <= from ? from - to : undefined;
  return wanted[1] === "9" && to <= from + 5 ? 100 + from + 5 - to : undefined;
}
