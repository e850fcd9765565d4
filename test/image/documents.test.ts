import assert from "node:assert/strict";
import { test } from "node:test";
import { ShaleError, type ErrorCode } from "../../src/errors.ts";
import { parseConfig } from "../../src/image/config.ts";
import { parseDescriptor } from "../../src/image/descriptor.ts";
import { matchLayers, parseManifestDocument } from "../../src/image/manifest.ts";
import { DOCKER_CONFIG, DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../src/image/media-type.ts";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const config = { mediaType: OCI_CONFIG, digest: DIGEST, size: 10 };
const layer = { mediaType: LAYER, digest: DIGEST, size: 20 };
const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] };
const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ mediaType: OCI_MANIFEST, digest: DIGEST, size: 30 }] };

function bytes(value: unknown): Buffer {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
}

function refused(code: ErrorCode, value: unknown, contentType?: string): void {
  assert.throws(() => parseManifestDocument(bytes(value), contentType), { code });
}

const BAD_FIELDS: readonly (readonly [string, unknown])[] = [
  ["no object", 7],
  ["null", null],
  ["a list", []],
  ["no media type", { ...layer, mediaType: undefined }],
  ["a media type that is a number", { ...layer, mediaType: 1 }],
  ["a media type with a newline", { ...layer, mediaType: "a/b\nc" }],
  ["a size below 0", { ...layer, size: -1 }],
  ["a size that is text", { ...layer, size: "20" }],
  ["a size beyond 2^53", { ...layer, size: 2 ** 53 + 2 }],
  ["a size with a fraction", { ...layer, size: 1.5 }],
  ["no size", { ...layer, size: undefined }],
  ["a digest that is a path", { ...layer, digest: "sha256:../../../etc/passwd" }],
  ["a digest in upper case", { ...layer, digest: DIGEST.toUpperCase() }],
  ["a short digest", { ...layer, digest: "sha256:ab" }],
  ["an md5 digest", { ...layer, digest: "md5:d41d8cd98f00b204e9800998ecf8427e" }],
  ["a digest with NUL", { ...layer, digest: `${DIGEST}\0` }],
  ["a digest with a newline", { ...layer, digest: `${DIGEST}\n` }],
  ["a digest that is a list", { ...layer, digest: [DIGEST] }],
  ["annotations that are numbers", { ...layer, annotations: { a: 1 } }],
  ["a platform that is text", { ...layer, platform: "linux/amd64" }],
  ["urls that are no list", { ...layer, urls: "https://example.com" }],
];

for (const [what, value] of BAD_FIELDS) {
  test(`\`parseDescriptor()\` refuses ${what}`, () => {
    assert.throws(() => parseDescriptor(value, "layers[0]"), { code: "MANIFEST_INVALID" });
    refused("MANIFEST_INVALID", { ...manifest, layers: [value] });
  });
}

test("`parseDescriptor()` treats `__proto__` in annotations as an ordinary key", () => {
  const value: unknown = JSON.parse(
    `{"mediaType":"${LAYER}","digest":"${DIGEST}","size":1,"annotations":{"__proto__":"x","constructor":"y"}}`,
  );
  const { annotations } = parseDescriptor(value, "layers[0]");
  assert.deepEqual(Object.entries(annotations ?? {}), [
    ["__proto__", "x"],
    ["constructor", "y"],
  ]);
  assert.equal(annotations?.["toString"], undefined);
  assert.equal(Object.getPrototypeOf({}), Object.prototype);
});

test("`parseDescriptor()` reads no field from a prototype", () => {
  const value: unknown = JSON.parse(`{"__proto__":{"mediaType":"${LAYER}","digest":"${DIGEST}","size":1}}`);
  assert.throws(() => parseDescriptor(value, "layers[0]"), { code: "MANIFEST_INVALID" });
  assert.throws(() => parseDescriptor(Object.assign({}, value), "layers[0]"), { code: "MANIFEST_INVALID" });
});

test("`parseManifestDocument()` reads OCI and Docker manifests", () => {
  const oci = parseManifestDocument(bytes({ ...manifest, annotations: { a: "b" } }));
  assert.equal(oci.kind, "manifest");
  assert.ok(oci.kind === "manifest");
  assert.deepEqual(oci.manifest.layers, [layer]);
  assert.deepEqual({ ...oci.manifest.annotations }, { a: "b" });
  const docker = { ...manifest, mediaType: DOCKER_MANIFEST, config: { ...config, mediaType: DOCKER_CONFIG } };
  assert.equal(parseManifestDocument(bytes(docker), `${DOCKER_MANIFEST}; charset=utf-8`).mediaType, DOCKER_MANIFEST);
});

test("`parseManifestDocument()` reads OCI and Docker image indexes", () => {
  for (const mediaType of [OCI_INDEX, DOCKER_LIST]) {
    const document = parseManifestDocument(bytes({ ...index, mediaType }), mediaType);
    assert.equal(document.kind, "index");
    assert.equal(document.mediaType, mediaType);
  }
});

test("`parseManifestDocument()` decides by mediaType, then Content-Type, then the fields", () => {
  const { mediaType: _, ...bare } = manifest;
  assert.equal(parseManifestDocument(bytes(bare)).mediaType, OCI_MANIFEST);
  assert.equal(
    parseManifestDocument(bytes({ ...bare, config: { ...config, mediaType: DOCKER_CONFIG } }), DOCKER_MANIFEST).mediaType,
    DOCKER_MANIFEST,
  );
  assert.equal(parseManifestDocument(bytes(manifest), "text/plain").mediaType, OCI_MANIFEST);
  assert.equal(parseManifestDocument(bytes({ schemaVersion: 2, manifests: [] })).kind, "index");
  refused("MANIFEST_INVALID", manifest, DOCKER_MANIFEST);
  refused("MANIFEST_INVALID", index, OCI_MANIFEST);
  refused("MANIFEST_INVALID", bare, OCI_INDEX);
});

test("`parseManifestDocument()` refuses a document of two kinds (CVE-2021-41190)", () => {
  refused("MANIFEST_INVALID", { ...manifest, manifests: [] });
  refused("MANIFEST_INVALID", { ...index, layers: [] });
  refused("MANIFEST_INVALID", { ...index, config });
  refused("MANIFEST_INVALID", { schemaVersion: 2, config, layers: [layer], manifests: [] });
  refused("MANIFEST_INVALID", { ...manifest, fsLayers: [] });
});

test("`parseManifestDocument()` refuses invalid JSON, invalid UTF-8, and deep nesting", () => {
  refused("MANIFEST_INVALID", "<html>log in</html>");
  refused("MANIFEST_INVALID", "");
  refused("MANIFEST_INVALID", "[".repeat(100_000));
  refused("MANIFEST_INVALID", `${"[".repeat(100_000)}${"]".repeat(100_000)}`);
  assert.throws(() => parseManifestDocument(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), { code: "MANIFEST_INVALID" });
});

test("`parseManifestDocument()` distinguishes unsupported from malformed documents", () => {
  refused("MANIFEST_UNSUPPORTED", { schemaVersion: 1, fsLayers: [] });
  refused("MANIFEST_UNSUPPORTED", { schemaVersion: 1, mediaType: "application/vnd.docker.distribution.manifest.v1+prettyjws" });
  refused("MANIFEST_UNSUPPORTED", { ...manifest, mediaType: "application/vnd.cncf.oras.artifact.manifest.v1+json" });
  refused("MANIFEST_UNSUPPORTED", { ...manifest, config: { ...config, mediaType: "application/vnd.oci.empty.v1+json" } });
  refused("MANIFEST_UNSUPPORTED", { ...manifest, config: { ...config, mediaType: "application/octet-stream" } });
  refused("MANIFEST_INVALID", { ...manifest, schemaVersion: "2" });
  refused("MANIFEST_INVALID", { ...manifest, layers: undefined });
  refused("MANIFEST_INVALID", { ...manifest, config: undefined });
  refused("MANIFEST_INVALID", { ...index, manifests: null });
});

for (const mediaType of [
  "toString/x",
  "constructor/x",
  "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
  "text/html",
  "application/vnd.in-toto+json",
]) {
  test(`\`parseManifestDocument()\` refuses a layer of type ${mediaType}`, () => {
    refused("LAYER_UNSUPPORTED", { ...manifest, layers: [layer, { ...layer, mediaType }] });
  });
}

test("`parseManifestDocument()` accepts foreign and non-distributable layers, and a repeated layer", () => {
  const foreign = { ...layer, mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls: ["http://169.254.169.254/"] };
  const nondistributable = { ...layer, mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd" };
  const document = parseManifestDocument(bytes({ ...manifest, layers: [foreign, nondistributable, layer, layer, layer] }));
  assert.ok(document.kind === "manifest");
  assert.equal(document.manifest.layers.length, 5);
});

const image = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [DIGEST] } };

test("`parseConfig()` reads every field", () => {
  const parsed = parseConfig(
    bytes({
      ...image,
      architecture: "arm64",
      variant: "v8",
      created: "2024-01-01T00:00:00Z",
      author: "someone",
      config: {
        Entrypoint: ["/entry"],
        Cmd: ["a", "b"],
        Env: ["A=1", "B=2=3"],
        WorkingDir: "/w",
        User: "1000:1000",
        ExposedPorts: { "80/tcp": {}, "53/udp": null },
        Volumes: { "/data": {} },
        Labels: { a: "b", __proto__x: "c" },
        StopSignal: "SIGINT",
      },
      history: [{ created: "2024-01-01T00:00:00Z", created_by: "RUN x", comment: "c", author: "d", empty_layer: true }],
    }),
  );
  assert.deepEqual(
    { ...parsed, labels: { ...parsed.labels } },
    {
      platform: { os: "linux", architecture: "arm64" },
      created: "2024-01-01T00:00:00Z",
      author: "someone",
      entrypoint: ["/entry"],
      cmd: ["a", "b"],
      env: ["A=1", "B=2=3"],
      workingDir: "/w",
      user: "1000:1000",
      exposedPorts: ["80/tcp", "53/udp"],
      volumes: ["/data"],
      labels: { a: "b", __proto__x: "c" },
      stopSignal: "SIGINT",
      diffIds: [DIGEST],
      history: [{ created: "2024-01-01T00:00:00Z", createdBy: "RUN x", comment: "c", author: "d", emptyLayer: true }],
    },
  );
});

test("`parseConfig()` treats null as absent, as Docker writes it", () => {
  const nulls = {
    Entrypoint: null,
    Cmd: null,
    Env: null,
    WorkingDir: "",
    User: "",
    ExposedPorts: null,
    Volumes: null,
    Labels: null,
    StopSignal: null,
  };
  for (const config of [nulls, {}, null, undefined]) {
    const { platform: _, diffIds: __, ...rest } = parseConfig(bytes({ ...image, config, history: null }));
    assert.deepEqual(
      { ...rest, labels: { ...rest.labels } },
      { entrypoint: [], cmd: [], env: [], exposedPorts: [], volumes: [], labels: {}, history: [] },
    );
  }
});

const BAD_CONFIGS: readonly (readonly [string, unknown])[] = [
  ["text", "not json"],
  ["a list", []],
  ["no os", { ...image, os: undefined }],
  ["an os that is a number", { ...image, os: 1 }],
  ["no rootfs", { ...image, rootfs: undefined }],
  ["another rootfs type", { ...image, rootfs: { type: "layers2", diff_ids: [] } }],
  ["diff IDs that are no list", { ...image, rootfs: { type: "layers", diff_ids: {} } }],
  ["a diff ID that is a path", { ...image, rootfs: { type: "layers", diff_ids: ["sha256:../../x"] } }],
  ["a sha512 diff ID", { ...image, rootfs: { type: "layers", diff_ids: [`sha512:${"ab".repeat(64)}`] } }],
  ["a null diff ID", { ...image, rootfs: { type: "layers", diff_ids: [null] } }],
  ["Cmd as text", { ...image, config: { Cmd: "sh" } }],
  ["numbers in Env", { ...image, config: { Env: ["A=1", 2] } }],
  ["null in Cmd", { ...image, config: { Cmd: [null] } }],
  ["NUL in Env", { ...image, config: { Env: ["A=\0"] } }],
  ["NUL in User", { ...image, config: { User: "0\0" } }],
  ["labels as a list", { ...image, config: { Labels: ["a"] } }],
  ["a label that is an object", { ...image, config: { Labels: { a: {} } } }],
  ["ExposedPorts as a list", { ...image, config: { ExposedPorts: ["80"] } }],
  ["history of text", { ...image, history: ["x"] }],
  ["empty_layer as text", { ...image, history: [{ empty_layer: "yes" }] }],
];

for (const [what, value] of BAD_CONFIGS) {
  test(`\`parseConfig()\` refuses ${what}`, () => {
    assert.throws(() => parseConfig(bytes(value)), { code: "CONFIG_INVALID" });
  });
}

test("`matchLayers()` pairs layers with diff IDs in order and refuses any other count", () => {
  const document = parseManifestDocument(bytes({ ...manifest, layers: [layer, { ...layer, size: 21 }] }));
  assert.ok(document.kind === "manifest");
  const withIds = (count: number): ReturnType<typeof parseConfig> =>
    parseConfig(
      bytes({ ...image, rootfs: { type: "layers", diff_ids: Array.from({ length: count }, (_, at) => `sha256:${`0${at}`.repeat(32)}`) } }),
    );
  const pairs = matchLayers(document.manifest, withIds(2));
  assert.deepEqual(
    pairs.map(({ descriptor, diffId }) => [descriptor.size, diffId.slice(0, 9)]),
    [
      [20, "sha256:00"],
      [21, "sha256:01"],
    ],
  );
  for (const count of [0, 1, 3]) {
    assert.throws(
      () => matchLayers(document.manifest, withIds(count)),
      (error: unknown) => ShaleError.is(error, "CONFIG_INVALID") && error.detail.digest === DIGEST,
    );
  }
});
