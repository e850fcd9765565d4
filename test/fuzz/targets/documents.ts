/** Manifests, configs, references and challenges: an error of their own, or an answer that stands being read again. */
import assert from "node:assert/strict";
import { ShaleError } from "../../../src/errors.ts";
import { parseConfig } from "../../../src/image/config.ts";
import { matchLayers, parseManifestDocument } from "../../../src/image/manifest.ts";
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../../src/image/media-type.ts";
import { formatReference, parseReference } from "../../../src/image/reference.ts";
import { parseChallenges } from "../../../src/source/auth/challenge.ts";
import { mutate, type Random } from "../random.ts";
import type { Target } from "../target.ts";

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const KEYS = [
  "schemaVersion",
  "mediaType",
  "config",
  "layers",
  "manifests",
  "digest",
  "size",
  "platform",
  "os",
  "architecture",
  "variant",
  "annotations",
  "urls",
  "__proto__",
  "constructor",
  "fsLayers",
  "rootfs",
  "diff_ids",
  "type",
  "history",
  "Labels",
  "Env",
  "Cmd",
  "ExposedPorts",
  "empty_layer",
];
const TYPES = [OCI_MANIFEST, OCI_INDEX, OCI_CONFIG, DOCKER_MANIFEST, DOCKER_LIST, LAYER, "text/html", ""];

export const MANIFEST: Target = {
  name: "manifest",
  run(random) {
    const text = Buffer.from(JSON.stringify(random.once(3) ? value(random, 4) : document(random)));
    const bytes = random.once(2) ? mutate(text, random) : text;
    attempt(() => {
      const parsed = parseManifestDocument(bytes, random.once(2) ? random.pick(TYPES) : undefined);
      const descriptors = parsed.kind === "index" ? parsed.manifests : [parsed.manifest.config, ...parsed.manifest.layers];
      for (const { digest, size } of descriptors)
        assert.ok(/^sha(?:256|512):[0-9a-f]+$/.test(digest) && Number.isSafeInteger(size) && size >= 0);
      if (parsed.kind === "manifest") matchLayers(parsed.manifest, parseConfig(bytes));
    });
    attempt(() => {
      const config = parseConfig(bytes);
      assert.equal(Object.getPrototypeOf(config.labels), null);
      for (const id of config.diffIds) assert.match(id, /^sha256:[0-9a-f]{64}$/);
    });
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
  },
};

function document(random: Random): unknown {
  const descriptor = (mediaType: string): unknown => ({
    mediaType,
    digest: DIGEST,
    size: random.pick([0, 5, 2 ** 53, -1, "5", null]),
    ...(random.once(4) && { [random.pick(KEYS)]: value(random, 2) }),
  });
  const layers = random.list(4, () => descriptor(LAYER));
  return {
    schemaVersion: 2,
    mediaType: random.pick(TYPES),
    ...(random.once(2) ? { config: descriptor(OCI_CONFIG), layers } : { manifests: random.list(4, () => descriptor(random.pick(TYPES))) }),
    os: "linux",
    architecture: "amd64",
    rootfs: { type: "layers", diff_ids: layers.map(() => DIGEST) },
    ...(random.once(3) && { [random.pick(KEYS)]: value(random, 3) }),
  };
}

function value(random: Random, depth: number): unknown {
  switch (random.below(depth > 0 ? 7 : 4)) {
    case 0:
      return random.pick([0, 2, -1, 1.5, 1e300, null, true]);
    case 1:
      return random.pick([DIGEST, LAYER, OCI_MANIFEST, "", "\u202e", "\x1b[2J", "\ud800", "a\0b", "linux", "../..", "sha256:../.."]);
    case 2:
      return random.text(20, "abc:/.\u0000é\u{1f600}");
    case 3:
      return random.below(2 ** 31);
    case 4:
      return random.list(4, () => value(random, depth - 1));
    default: {
      const entries = random.list(6, () => `${JSON.stringify(random.pick(KEYS))}:${JSON.stringify(value(random, depth - 1))}`);
      return JSON.parse(`{${entries.join()}}`) as unknown;
    }
  }
}

function attempt(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!ShaleError.is(error)) throw error;
    assert.ok(
      error.message.length < 5000 && !/[\p{Cc}\u202e]/u.test(error.message),
      `the message is bounded and harmless: ${JSON.stringify(error.message)}`,
    );
  }
}

const PIECES = [
  "docker.io",
  "/",
  ":",
  "@",
  "library",
  "alpine",
  "3.20",
  DIGEST,
  "sha256:",
  "localhost",
  "[::1]",
  "5000",
  "..",
  ".",
  "-",
  "_",
  "__",
  "A",
  "é",
  "\0",
  "\x1b",
  "%2e",
  "\\",
  "oci:",
  "docker://",
  "https://",
  " ",
  "a".repeat(130),
  "xn--",
];

export const REFERENCE: Target = {
  name: "reference",
  run(random) {
    const joined = random.list(8, () => random.pick(PIECES)).join("");
    const text = random.once(3) ? mutate(Buffer.from(`registry.example.com:5000/a/b_c/d:tag@${DIGEST}`), random).toString() : joined;
    attempt(() => {
      const reference = parseReference(text, { cwd: "/srv" });
      const canonical = formatReference(reference);
      assert.deepEqual(parseReference(canonical, { cwd: "/srv" }), reference, canonical);
      if (reference.transport !== "docker") return;
      assert.match(reference.repository, /^[a-z0-9._/-]{1,255}$/);
      assert.ok(!reference.repository.split("/").some((part) => part === "" || part === "." || part === ".."));
      const url = new URL(`/v2/${reference.repository}/manifests/latest`, `https://${reference.registry}`);
      assert.equal(url.pathname, `/v2/${reference.repository}/manifests/latest`);
      assert.ok(url.username === "" && url.search === "" && url.hash === "");
    });
  },
};

const TOKENS = [
  "Bearer",
  "Basic",
  "Negotiate",
  "realm",
  "service",
  "scope",
  "=",
  '"',
  ",",
  " ",
  "\\",
  '\\"',
  "https://auth.example.com/token",
  "abc==",
  "\t",
  "é",
  "\x1b",
  "a",
  "=",
];

export const CHALLENGE: Target = {
  name: "challenge",
  run(random) {
    const make = (): string => random.list(random.once(50) ? 20_000 : 14, () => random.pick(TOKENS)).join("");
    const headers = [make(), ...random.list(2, make)];
    // of the CPU: on a busy machine a second passes without us
    const before = process.cpuUsage();
    const challenges = parseChallenges(headers);
    const { user, system } = process.cpuUsage(before);
    const took = (user + system) / 1000;
    assert.ok(took < 1000, `${headers.join().length} characters took ${took} ms`);
    for (const { scheme, parameters } of challenges) {
      assert.ok(scheme !== "" && scheme === scheme.toLowerCase());
      for (const name of parameters.keys()) assert.equal(name, name.toLowerCase());
    }
    const alone = parseChallenges(['Bearer realm="https://a/b",service="c"', ...headers]);
    assert.equal(alone[0]?.parameters.get("realm"), "https://a/b", "what comes later changes nothing before it");
  },
};
