import assert from "node:assert/strict";
import { test } from "node:test";
import { ShaleError } from "../../src/errors.ts";
import type { Descriptor } from "../../src/image/descriptor.ts";
import { parseBlobDigest } from "../../src/image/digest.ts";
import { OCI_INDEX, OCI_MANIFEST } from "../../src/image/media-type.ts";
import { choosePlatform } from "../../src/image/choose-platform.ts";
import { platformRank } from "../../src/image/match-platform.ts";
import { formatPlatform, hostPlatform, parsePlatform, type Platform } from "../../src/image/platform.ts";

let serial = 0;
function entry(platform?: string, more: Partial<Descriptor> = {}): Descriptor {
  const digest = parseBlobDigest(`sha256:${String(serial++).padStart(64, "0")}`);
  const fields = platform === undefined ? {} : { platform: readPlatform(platform) };
  return { mediaType: OCI_MANIFEST, digest, size: 1, ...fields, ...more };
}

/** A platform as in a document: not normalized, without the grammar for users. */
function readPlatform(text: string): Platform {
  const [first = "", architecture = "", variant] = text.split("/");
  const [os = "", options = ""] = first.split(/[()]/);
  const [osVersion = "", ...osFeatures] = options.split("+");
  return { os, architecture, osFeatures, ...(osVersion !== "" && { osVersion }), ...(variant !== undefined && { variant }) };
}

for (const [text, canonical] of [
  ["linux/amd64", "linux/amd64"],
  ["Linux/x86_64", "linux/amd64"],
  ["linux/amd64/v1", "linux/amd64"],
  ["linux/amd64/v3", "linux/amd64/v3"],
  ["linux/aarch64", "linux/arm64"],
  ["linux/arm64/v8", "linux/arm64"],
  ["linux/arm64/8", "linux/arm64"],
  ["linux/arm", "linux/arm/v7"],
  ["linux/arm/6", "linux/arm/v6"],
  ["linux/armhf", "linux/arm/v7"],
  ["linux/armel", "linux/arm/v6"],
  ["linux/i386", "linux/386"],
  ["macos/arm64", "darwin/arm64"],
  ["linux/arm64/v8.0", "linux/arm64"],
  ["linux/arm64/v9.0", "linux/arm64/v9"],
  ["windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"],
  ["windows(10.0.17763+win32k+a)/amd64", "windows(10.0.17763+a+win32k)/amd64"],
  ["windows(+win32k+win32k)/amd64/v2", "windows(+win32k)/amd64/v2"],
  ["windows()/amd64", "windows/amd64"],
] as const) {
  test(`\`parsePlatform()\` reads ${text} as ${canonical}`, () => {
    assert.equal(formatPlatform(parsePlatform(text)), canonical);
  });
}

for (const text of [
  "",
  "linux",
  "linux/",
  "/amd64",
  "linux/amd64/v1/x",
  "linux/amd 64",
  "linux/a,b",
  "linux/a\nb",
  "a".repeat(200),
  "windows(/amd64",
  "windows(10+)/amd64",
  "windows(10.0)x/amd64",
  "windows(1/2)/amd64",
  "(10.0)/amd64",
]) {
  test(`\`parsePlatform()\` refuses ${JSON.stringify(text.slice(0, 30))}`, () => {
    assert.throws(() => parsePlatform(text), { code: "PLATFORM_INVALID" });
  });
}

test("`hostPlatform()` is linux on an architecture that parses to itself", () => {
  const host = formatPlatform(hostPlatform());
  assert.match(host, /^linux\/[a-z0-9]+/);
  assert.equal(formatPlatform(parsePlatform(host)), host);
  assert.doesNotMatch(host, /x64|ia32/);
});

/** The wanted platform, the offered ones, and the expected choice. */
for (const [wanted, offers, right] of [
  ["linux/amd64", ["linux/arm64", "linux/amd64"], 1],
  ["linux/arm64", ["linux/arm64/v8", "linux/amd64"], 0],
  ["linux/arm64/v9", ["linux/arm64", "linux/arm64/v9"], 1],
  ["linux/arm64/v9", ["linux/arm64"], 0],
  ["linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm64"], 1],
  ["linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], 1],
  ["linux/arm", ["linux/arm/v6", "linux/arm/v7"], 1],
  ["linux/amd64/v3", ["linux/amd64", "linux/amd64/v4", "linux/amd64/v2"], 2],
  ["linux/amd64/v3", ["linux/amd64"], 0],
  ["linux/amd64", ["linux/amd64/v2", "linux/amd64"], 1],
  ["linux/amd64", ["linux/amd64", "linux/amd64"], 0],
  ["linux/arm64/v9.1", ["linux/arm64", "linux/arm64/v8.6", "linux/arm64/v9"], 2],
  ["linux/arm64/v9", ["linux/arm64/v8.4", "linux/arm64/v8.5", "linux/arm64/v8.6"], 1],
  ["linux/riscv64/rva23u64", ["linux/riscv64", "linux/riscv64/rva20u64", "linux/riscv64/rva22u64"], 2],
  ["linux/amd64", ["linux(+gpu)/amd64", "linux/amd64"], 1],
  ["linux(+gpu)/amd64", ["linux(+gpu)/amd64", "linux/amd64"], 0],
  // Windows, as in containerd's test of the order
  ["windows(10.0.20348.3091)/amd64", ["linux/amd64", "windows(10.0.20348.3091)/amd64", "windows(10.0.26100.2894)/amd64"], 1],
  ["windows(10.0.26100.2894)/amd64", ["linux/amd64", "windows(10.0.20348.3091)/amd64", "windows(10.0.26100.2894)/amd64"], 2],
  ["windows(10.0.26100.2894)/amd64", ["linux/amd64", "windows(10.0.20348.3091)/amd64", "windows(10.0.26100.3000)/amd64"], 2],
  ["windows/amd64", ["windows(10.0.9999.1)/amd64", "windows(10.0.20348.1)/amd64", "windows(10.0.17763.9)/amd64"], 1],
] as const) {
  test(`\`choosePlatform()\` takes ${offers[right]} of ${offers.join(", ")} for ${wanted}`, () => {
    const entries = offers.map((offer) => entry(offer));
    assert.equal(choosePlatform(entries, parsePlatform(wanted)), entries[right]);
  });
}

test("`choosePlatform()` lists the existing platforms when none matches", () => {
  const entries = [entry("linux/arm64/v8"), entry("windows/amd64"), entry("linux/amd64/v2"), entry("linux/\u001b[2J")];
  assert.throws(
    () => choosePlatform(entries, parsePlatform("linux/amd64")),
    (error: unknown) => {
      assert.ok(ShaleError.is(error, "PLATFORM_NOT_FOUND"));
      assert.deepEqual(error.detail, {
        platform: "linux/amd64",
        available: ["linux/arm64", "windows/amd64", "linux/amd64/v2", "linux/\\x1b[2j"],
      });
      return true;
    },
  );
});

test("`choosePlatform()` never chooses an attestation or another media type", () => {
  const attestation = entry("unknown/unknown", { annotations: { "vnd.docker.reference.type": "attestation-manifest" } });
  const marked = entry("linux/amd64", { annotations: { "vnd.docker.reference.type": "attestation-manifest" } });
  const unmarked = entry("unknown/unknown");
  const artifact = entry("linux/amd64", { mediaType: "application/vnd.example.sbom" });
  const right = entry("linux/amd64");
  assert.equal(choosePlatform([attestation, marked, unmarked, artifact, right], parsePlatform("linux/amd64")), right);
  assert.throws(() => choosePlatform([attestation, marked, unmarked, artifact], parsePlatform("linux/amd64")), {
    code: "PLATFORM_NOT_FOUND",
  });
});

test("`choosePlatform()` falls back to an entry without a platform, but prefers one with the right platform", () => {
  const nested = entry(undefined, { mediaType: OCI_INDEX });
  const right = entry("linux/amd64");
  assert.equal(choosePlatform([nested, right], parsePlatform("linux/amd64")), right);
  assert.equal(choosePlatform([entry("linux/s390x"), nested], parsePlatform("linux/amd64")), nested);
});

test("`choosePlatform()` limits the listed platforms, and treats an empty image index as one without images", () => {
  const many = Array.from({ length: 5000 }, (_, at) => entry(`linux/arch${at}`));
  assert.throws(
    () => choosePlatform(many, parsePlatform("linux/amd64")),
    (error: unknown) => ShaleError.is(error, "PLATFORM_NOT_FOUND") && error.detail.available.length === 32,
  );
  assert.throws(() => choosePlatform([], parsePlatform("linux/amd64")), { code: "PLATFORM_NOT_FOUND" });
});

/** Which images run where, from containerd's tests, without the cases in which another architecture matches. */
const MATCHES: readonly (readonly [wanted: string, runs: readonly string[], runsNot: readonly string[]])[] = [
  ["linux/amd64", ["linux/amd64"], ["linux/amd64/v2", "linux/arm/v7", "linux/arm64", "windows/amd64", "windows/arm"]],
  ["linux/amd64/v2", ["linux/amd64", "linux/amd64/v1", "linux/amd64/v2"], ["linux/amd64/v3", "linux/amd64/v4", "linux/arm64"]],
  ["linux/386", ["linux/386"], ["linux/amd64", "linux/arm/v7", "linux/arm64", "windows/amd64", "windows/arm"]],
  ["windows/amd64", ["windows/amd64", "windows(10.0.17763)/amd64"], ["linux/amd64", "linux/arm64", "windows/arm"]],
  ["windows(10.0.17763)/amd64", ["windows/amd64", "windows(10.0.17763)/amd64", "windows(10.0.17763.529)/amd64"], ["windows/arm"]],
  ["linux/arm/v8", ["linux/arm", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8"], ["linux/arm/v4", "linux/arm64"]],
  ["linux/arm/v7", ["linux/arm", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], ["linux/arm/v4", "linux/arm/v8", "linux/arm64"]],
  ["linux/arm/v6", ["linux/arm/v5", "linux/arm/v6"], ["linux/arm", "linux/arm/v4", "linux/arm/v7", "linux/arm/v8", "linux/arm64"]],
  ["linux/arm/v5", ["linux/arm/v5"], ["linux/arm", "linux/arm/v4", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8"]],
  ["linux/arm/v4", ["linux/arm/v4"], ["linux/arm", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8"]],
  [
    "linux/arm64/v9",
    ["linux/arm64", ...[0, 1, 2, 3, 4, 5].map((minor) => `linux/arm64/v8.${minor}`), "linux/arm64/v9", "linux/arm64/v9.0"],
    ["linux/amd64", "linux/arm/v4", "linux/arm64/v8.6", "linux/arm64/v9.1"],
  ],
  ["linux/arm64/v8.1", ["linux/arm64", "linux/arm64/v8", "linux/arm64/v8.1"], ["linux/arm/v9", "linux/arm64/v9", "linux/arm64/v8.2"]],
  ["linux/arm64", ["linux/arm64", "linux/arm64/v8"], ["linux/amd64", "linux/arm/v4", "linux/arm/v9", "linux/arm64/v9"]],
  [
    "linux/ppc64le/power10",
    ["linux/ppc64le", "linux/ppc64le/power8", "linux/ppc64le/power9"],
    ["linux/ppc64le/power11", "linux/ppc64le/v9"],
  ],
  ["linux/ppc64le", ["linux/ppc64le"], ["linux/ppc64le/power8"]],
  // Windows 2019, 2022 and 11: before 2022 the build must be the same
  [
    "windows(10.0.17763)/amd64",
    ["windows(10.0.17763.1)/amd64"],
    ["windows(10.0.20348)/amd64", "windows(10.0.17762)/amd64", "windows(oops)/amd64"],
  ],
  ["windows(10.0.20348)/amd64", ["windows(10.0.20348.9)/amd64"], ["windows(10.0.17763)/amd64", "windows(10.0.26100)/amd64"]],
  [
    "windows(10.0.22621)/amd64",
    ["windows(10.0.20348)/amd64", "windows(10.0.22621)/amd64"],
    ["windows(10.0.17763)/amd64", "windows(6.3.20348)/amd64"],
  ],
  // a subset of the host's features
  [
    "windows(10.0.20348+a+b)/amd64",
    ["windows(+a)/amd64", "windows(+b+a)/amd64", "windows/amd64"],
    ["windows(+c)/amd64", "windows(+a+c)/amd64"],
  ],
];

for (const [wanted, runs, runsNot] of MATCHES) {
  test(`\`platformRank()\` lets ${wanted} run ${runs.join(", ")}, and not ${runsNot.join(", ")}`, () => {
    const ranks = (offers: readonly string[]): (number | undefined)[] =>
      offers.map((offer) => platformRank(readPlatform(offer), parsePlatform(wanted)));
    for (const rank of ranks(runs)) assert.ok(rank !== undefined);
    assert.deepEqual(
      ranks(runsNot),
      runsNot.map(() => undefined),
    );
  });
}
