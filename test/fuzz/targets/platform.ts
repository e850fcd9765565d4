/** Platforms, as users write them and as documents have them: what is read can be written, and who fits is told the same way each time. */
import assert from "node:assert/strict";
import { ShaleError } from "../../../src/errors.ts";
import { choosePlatform } from "../../../src/image/choose-platform.ts";
import type { Descriptor } from "../../../src/image/descriptor.ts";
import { parseBlobDigest } from "../../../src/image/digest.ts";
import { platformRank } from "../../../src/image/match-platform.ts";
import { OCI_MANIFEST } from "../../../src/image/media-type.ts";
import { formatPlatform, normalizePlatform, parsePlatform, type Platform } from "../../../src/image/platform.ts";
import { mutate, type Random } from "../random.ts";
import type { Target } from "../target.ts";

const ARCHITECTURES: readonly string[] = ["amd64", "x86_64", "arm", "armhf", "armel", "arm64", "aarch64", "386", "riscv64", "ppc64le"];
const VARIANTS: readonly string[] = [
  "",
  "v1",
  "v2",
  "v3",
  "v5",
  "v6",
  "7",
  "v8",
  "v8.0",
  "v8.5",
  "v9",
  "v9.1",
  "rva20u64",
  "rva23u64",
  "power9",
  "power10",
];
const VERSIONS: readonly string[] = [
  "",
  "10.0.17763",
  "10.0.20348.1",
  "10.0.22621",
  "10.0.26100.9",
  "6.3.9600",
  "10",
  "x",
  "10.0.99999999999",
];

export const PLATFORM: Target = {
  name: "platform",
  run(random: Random): void {
    const [wanted, ...offers] = [makePlatform(random), ...random.list(6, () => makePlatform(random))];
    roundTrip(random.once(3) ? mutate(Buffer.from(formatPlatform(wanted)), random).toString("latin1") : formatPlatform(wanted));
    assert.equal(platformRank(wanted, wanted), 0);
    const ranks = offers.map((offer) => platformRank(offer, wanted));
    for (const [index, rank] of ranks.entries()) {
      const [has, wants] = [normalizePlatform(offers[index]!), normalizePlatform(wanted)];
      if (rank === undefined) continue;
      assert.ok(rank >= 0 && has.os === wants.os && has.architecture === wants.architecture);
    }
    const digest = parseBlobDigest(`sha256:${"0".repeat(64)}`);
    const entries = offers.map((platform): Descriptor => ({ mediaType: OCI_MANIFEST, digest, size: 1, platform }));
    const best = Math.min(...ranks.map((rank) => rank ?? Number.POSITIVE_INFINITY));
    const chosen = choose(entries, wanted);
    assert.equal(chosen === undefined ? Number.POSITIVE_INFINITY : ranks[entries.indexOf(chosen)], best);
  },
};

function makePlatform(random: Random): Platform {
  const variant = random.pick(VARIANTS);
  const osVersion = random.pick(VERSIONS);
  return {
    os: random.pick(["linux", "Linux", "windows", "macos", "darwin"]),
    architecture: random.pick(ARCHITECTURES),
    osFeatures: random.list(3, () => random.pick(["a", "b", "win32k"])),
    ...(variant !== "" && { variant }),
    ...(osVersion !== "" && { osVersion }),
  };
}

function roundTrip(text: string): void {
  try {
    const platform = parsePlatform(text);
    assert.deepEqual(parsePlatform(formatPlatform(platform)), platform);
  } catch (error) {
    if (!ShaleError.is(error, "PLATFORM_INVALID")) throw error;
  }
}

function choose(entries: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  try {
    return choosePlatform(entries, wanted);
  } catch (error) {
    if (!ShaleError.is(error, "PLATFORM_NOT_FOUND")) throw error;
    return undefined;
  }
}
