import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { openStore, Registry, ShaleError } from "../../../src/index.ts";
import type { Image, PullOptions, RegistryOptions, Store } from "../../../src/index.ts";
import { buildImage, buildImageIndex, buildLayer } from "../../../src/testing/index.ts";
import type { TestEntry, TestImage } from "../../../src/testing/index.ts";
import { bytesOf, dockerEntries, layoutEntries, plain, tarOf } from "../../support/archives.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

interface Place extends AsyncDisposable {
  readonly store: Store;
  readonly directory: string;
  /** Writes the archive to a file and pulls it; `form` is the reference with FILE for the path. */
  pull(form: string, archive: readonly TestEntry[] | Buffer, options?: PullOptions): Promise<Image>;
  again(reference: string, options?: PullOptions): Promise<Image>;
}

async function place(client: Partial<RegistryOptions> = {}): Promise<Place> {
  const directory = await temporaryDirectory();
  const store = await openStore(join(directory.path, "store"));
  const registry = new Registry({ store, ...client });
  const again = async (reference: string, options?: PullOptions): Promise<Image> => {
    const image = await registry.pull(reference, options);
    await image.close();
    return image;
  };
  return {
    store,
    directory: directory.path,
    again,
    pull: async (form, archive, options) => {
      const path = join(directory.path, "image.tar");
      await writeFile(path, Buffer.isBuffer(archive) ? archive : await tarOf(archive));
      return again(form.replace("FILE", path), options);
    },
    [Symbol.asyncDispose]: async () => {
      await registry.close();
      await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function makeImage(text = "hello\n"): Promise<TestImage> {
  const base = await buildLayer([
    { path: "etc", type: "directory" },
    { path: "etc/motd", content: text },
  ]);
  const upper = await buildLayer([{ path: "app/main", mode: 0o755, content: "#!/bin/sh\n" }]);
  return buildImage({ layers: [base, upper, base], config: { Cmd: ["/app/main"] } });
}

async function motd(image: Image): Promise<string> {
  return readFile(join(image.layers[0]!, "etc/motd"), "utf8");
}

/** Remains in staging: spooled bytes, or data of a failed pull. */
function staged(store: Store): string[] {
  const names = readdirSync(join(store.path, "staging"), { recursive: true, encoding: "utf8" });
  return names.filter((name) => !/^(?:downloads|work-[0-9a-f]+(?:\/owner|\/chunks-\d+(?:\/.*)?)?)$/.test(name));
}

for (const [form, how] of [
  ["oci-archive:FILE", "without a tag"],
  ["oci-archive:FILE:1.0", "by its tag"],
] as const) {
  test(`\`pull()\` reads an OCI archive ${how}, and keeps the manifest's digest`, async () => {
    await using here = await place();
    const made = await makeImage();
    const image = await here.pull(form, layoutEntries(made, "1.0"));
    assert.equal(image.manifestDigest, made.manifest.digest);
    assert.equal(await motd(image), "hello\n");
    assert.deepEqual(staged(here.store), []);
  });
}

test("`pull()` reads an OCI archive by the digest of an image that the index does not list", async () => {
  await using here = await place();
  const [one, two] = [await makeImage(), await makeImage("another\n")];
  const index = buildImageIndex([one]);
  const entries = [...layoutEntries(one), ...layoutEntries(two).slice(2), { path: "junk", content: bytesOf(index.manifest) }];
  const image = await here.pull(`oci-archive:FILE@${two.manifest.digest}`, entries);
  assert.equal(image.manifestDigest, two.manifest.digest);
  await assert.rejects(here.pull(`oci-archive:FILE@sha256:${"0".repeat(64)}`, entries), { code: "BLOB_NOT_FOUND" });
});

test("`pull()` reads the format of docker save before version 25: uncompressed layers, a symlink for a repeated layer", async () => {
  await using here = await place();
  const made = await makeImage();
  const image = await here.pull("docker-archive:FILE", dockerEntries(made, ["app:1"]));
  assert.deepEqual(
    image.config.diffIds,
    made.layers.map(({ diffId }) => diffId),
  );
  assert.equal(image.stats.ingestedLayers, 2);
  assert.equal(await motd(image), "hello\n");
  const same = await here.pull("docker-archive:FILE:docker.io/library/app:1", dockerEntries(made, ["app:1", "other:2"]));
  assert.equal(same.manifestDigest, image.manifestDigest);
  assert.equal(same.cached, true);
});

test("`pull()` reads a Docker archive whose layers are compressed, and whose layers are hard links", async () => {
  await using here = await place();
  const made = await makeImage();
  const entries = dockerEntries(made).map((entry): TestEntry => {
    if (entry.path === "layer0/layer.tar") return { ...entry, content: bytesOf(made.layers[0]!) };
    if (entry.path === "layer1/layer.tar") return { ...entry, content: zstdCompressSync(plain(made.layers[1]!)) };
    return entry.path === "layer2/layer.tar" ? { path: entry.path, type: "hardlink", target: "./layer0/layer.tar" } : entry;
  });
  const image = await here.pull("docker-archive:FILE", entries);
  assert.equal(await motd(image), "hello\n");
});

/** A frame that a zstd decoder skips, with `size` bytes of user data: RFC 8878, section 3.1.2. */
function skippableFrame(size: number): Buffer {
  const frame = Buffer.alloc(8 + size, 0xff);
  frame.writeUInt32LE(0x184d2a50 + (size % 16), 0);
  frame.writeUInt32LE(size, 4);
  return frame;
}

for (const [how, compress] of [
  ["uncompressed", (tar) => tar],
  ["compressed with gzip", (tar) => gzipSync(tar)],
  ["compressed with zstd", (tar) => zstdCompressSync(tar)],
  ["compressed with zstd, after a skippable frame", (tar) => Buffer.concat([skippableFrame(5), zstdCompressSync(tar)])],
  [
    "compressed with zstd in two frames, with skippable frames around each",
    (tar) =>
      Buffer.concat([
        skippableFrame(0),
        skippableFrame(70_000),
        zstdCompressSync(tar.subarray(0, 700)),
        skippableFrame(3),
        zstdCompressSync(tar.subarray(700)),
        skippableFrame(9),
      ]),
  ],
] as const satisfies readonly (readonly [string, (tar: Buffer) => Buffer])[]) {
  test(`\`pull()\` reads a Docker archive whose layers are ${how}`, async () => {
    await using here = await place();
    const made = await makeImage();
    const entries = dockerEntries(made).map((entry): TestEntry => {
      const layer = /^layer([0-9])\/layer\.tar$/.exec(entry.path)?.[1];
      return layer === undefined || entry.type === "symlink" ? entry : { ...entry, content: compress(plain(made.layers[Number(layer)]!)) };
    });
    const image = await here.pull("docker-archive:FILE", entries);
    assert.deepEqual(
      image.config.diffIds,
      made.layers.map(({ diffId }) => diffId),
    );
    assert.equal(await motd(image), "hello\n");
  });

  test(`\`pull()\` reads an OCI archive that is ${how} as a whole, and leaves no spooled copy`, async () => {
    await using here = await place();
    const made = await makeImage();
    const image = await here.pull("oci-archive:FILE", compress(await tarOf(layoutEntries(made))));
    assert.equal(image.manifestDigest, made.manifest.digest);
    assert.deepEqual(staged(here.store), []);
  });
}

test("`pull()` refuses an archive whose compressed stream is damaged after its first zstd frame", async () => {
  await using here = await place();
  const whole = Buffer.concat([skippableFrame(5), zstdCompressSync(await tarOf(layoutEntries(await makeImage())))]);
  for (const damaged of [whole.subarray(0, -20), Buffer.concat([whole, Buffer.from("garbage")])]) {
    await assert.rejects(here.pull("oci-archive:FILE", damaged), { code: "SOURCE_INVALID" });
  }
  assert.deepEqual(staged(here.store), []);
});

test("`pull()` uses the manifest of a Docker archive that is also an image layout", async () => {
  await using here = await place();
  const made = await makeImage();
  const annotations = { "io.containerd.image.name": "docker.io/library/app:1" };
  const layout = layoutEntries(made, "1", annotations);
  const saved = [{ Config: `blobs/sha256/${made.config.digest.slice(7)}`, RepoTags: ["app:1"], Layers: [] }];
  const entries = [...layout, { path: "manifest.json", content: JSON.stringify(saved) }];
  for (const name of ["", ":app:1", ":1", ":docker.io/library/app:1"]) {
    const image = await here.pull(`docker-archive:FILE${name}`, entries, { force: true });
    assert.equal(image.manifestDigest, made.manifest.digest);
  }
  await assert.rejects(here.pull("docker-archive:FILE:app:2", entries), { code: "IMAGE_NOT_FOUND" });
});

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test("`pull()` reads standard input, and takes the image's name from the archive or from the caller", async () => {
  await using here = await place();
  const made = await makeImage();
  const archive = await tarOf(dockerEntries(made, ["app:1"]));
  const own = await here.again("docker-archive:-", { input: inPieces(archive, 1) });
  assert.equal(own.reference, "docker.io/library/app:1");
  const cached = await here.again("docker-archive:-", { input: inPieces(archive, 700) });
  assert.equal(cached.cached, true);
  const asked = await here.again("docker-archive:-", { input: inPieces(gzipSync(archive), 9), as: "example.com/x:2" });
  assert.equal(asked.reference, "example.com/x:2");
  await using found = await here.store.image("example.com/x:2");
  assert.equal(found?.manifestDigest, own.manifestDigest);
  const other = await makeImage("changed\n");
  const changed = await here.again("docker-archive:-", { input: inPieces(await tarOf(dockerEntries(other)), 4096), as: "app:1" });
  assert.equal(await motd(changed), "changed\n");
  assert.deepEqual(staged(here.store), []);
});

test("`pull()` needs a name for an unnamed image from standard input, except with the policy `never`", async () => {
  await using here = await place();
  const archive = await tarOf(layoutEntries(await makeImage(), "latest"));
  await assert.rejects(here.again("oci-archive:-", { input: inPieces(archive, 4096) }), { code: "REFERENCE_INVALID" });
  await assert.rejects(here.again("oci-archive:-", { input: inPieces(archive, 4096), as: "app:1", pullPolicy: "never" }), {
    code: "NOT_CACHED",
  });
});

test("`pull()` notices a replaced archive, and uses the store's image when the archive is missing", async () => {
  await using here = await place();
  const first = await here.pull("docker-archive:FILE", dockerEntries(await makeImage()));
  const second = await here.pull("docker-archive:FILE", dockerEntries(await makeImage("new\n")));
  assert.notEqual(first.manifestDigest, second.manifestDigest);
  assert.equal(second.cached, false);
  await rm(join(here.directory, "image.tar"));
  const third = await here.again(`docker-archive:${join(here.directory, "image.tar")}`);
  assert.equal(third.cached, true);
  assert.equal(third.manifestDigest, second.manifestDigest);
});

test("`pull()` stops spooling at the limit and on abort", async () => {
  await using here = await place({ limits: { imageBytes: 10_000 } });
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) yield Buffer.alloc(1000);
  };
  await assert.rejects(here.again("oci-archive:-", { input: endless(), as: "x" }), { code: "LIMIT_IMAGE_BYTES" });
  await assert.rejects(here.pull("oci-archive:FILE", gzipSync(Buffer.alloc(20_000))), { code: "LIMIT_IMAGE_BYTES" });
  const reason = new Error("enough");
  const silent: AsyncIterable<Uint8Array> = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
  const abort = new AbortController();
  const waiting = here.again("oci-archive:-", { input: silent, as: "x", signal: abort.signal });
  setTimeout(() => abort.abort(reason), 20);
  await assert.rejects(waiting, (error) => error === reason);
  assert.deepEqual(staged(here.store), []);
});

test("`pull()` refuses an archive of 100,001 entries, and reads one of 100,000", async () => {
  await using here = await place();
  const archive = await tarOf(layoutEntries(await makeImage()));
  const [header, count] = [(await tarOf([{ path: "x" }])).subarray(0, 512), layoutEntries(await makeImage()).length];
  const filled = (entries: number): Buffer => Buffer.concat([...Array.from({ length: entries - count }, () => header), archive]);
  await here.pull("oci-archive:FILE", filled(100_000));
  await assert.rejects(here.pull("oci-archive:FILE", filled(100_001)), { code: "SOURCE_INVALID" });
});

const EVIL = "../../../../../../../../tmp/shale-evil";

/** Each damages the archive of a valid image. */
const HOSTILE: readonly (readonly [what: string, form: "oci" | "docker", change: (entries: TestEntry[]) => TestEntry[], code: string])[] = [
  ["a manifest.json that names a layer outside", "docker", (all) => renamed(all, "layer0/layer.tar", EVIL), "SOURCE_INVALID"],
  ["a manifest.json that names an absolute path", "docker", (all) => renamed(all, "layer0/layer.tar", "/etc/passwd"), "SOURCE_INVALID"],
  ["a layer that is a symlink to the outside", "docker", (all) => linked(all, "symlink", EVIL), "SOURCE_INVALID"],
  ["a layer that is an absolute symlink", "docker", (all) => linked(all, "symlink", "/etc/passwd"), "SOURCE_INVALID"],
  ["a layer that is a symlink to itself", "docker", (all) => linked(all, "symlink", "layer.tar"), "SOURCE_INVALID"],
  ["a layer that is a hard link to nothing", "docker", (all) => linked(all, "hardlink", "gone"), "SOURCE_INVALID"],
  ["a layer that is a FIFO", "docker", (all) => linked(all, "fifo", ""), "SOURCE_INVALID"],
  ["no layer", "docker", (all) => all.filter(({ path }) => path !== "layer0/layer.tar"), "SOURCE_INVALID"],
  ["no config", "docker", (all) => all.filter(({ path }) => !path.endsWith(".json") || path === "manifest.json"), "SOURCE_INVALID"],
  ["no manifest.json", "docker", (all) => all.filter(({ path }) => path !== "manifest.json"), "SOURCE_INVALID"],
  ["two manifest.json", "docker", (all) => [...all, { path: "./manifest.json", content: "[]" }], "SOURCE_INVALID"],
  ["a manifest.json that is an object", "docker", (all) => replaced(all, "manifest.json", "{}"), "SOURCE_INVALID"],
  ["a manifest.json of no images", "docker", (all) => replaced(all, "manifest.json", "[]"), "IMAGE_NOT_FOUND"],
  ["a manifest.json beyond 4 MiB", "docker", (all) => replaced(all, "manifest.json", " ".repeat((4 << 20) + 1)), "MANIFEST_TOO_LARGE"],
  ["a layer too many", "docker", (all) => edited(all, (image) => image.Layers.push("layer0/layer.tar")), "CONFIG_INVALID"],
  [
    "the layers swapped",
    "docker",
    (all) => edited(all, (image) => image.Layers.splice(0, 2, image.Layers[1]!, image.Layers[0]!)),
    "SIZE_MISMATCH",
  ],
  ["a layer in the place of another", "docker", (all) => edited(all, (image) => (image.Layers[0] = image.Layers[1]!)), "SIZE_MISMATCH"],
  ["a layer with a flipped bit", "docker", (all) => flipped(all, "layer1/layer.tar"), "DIGEST_MISMATCH"],
  ["a config with a flipped bit", "docker", (all) => flipped(all, ".json"), "DIGEST_MISMATCH"],
  [
    "a config beyond 4 MiB",
    "docker",
    (all) => [...all.filter(isNoConfig), { path: "c", content: " ".repeat((4 << 20) + 1) }].map(toC),
    "SOURCE_INVALID",
  ],
  ["two index.json", "oci", (all) => [...all, { path: "index.json", content: "{}" }], "SOURCE_INVALID"],
  ["an index.json beyond 4 MiB", "oci", (all) => replaced(all, "index.json", " ".repeat((4 << 20) + 1)), "MANIFEST_TOO_LARGE"],
  ["no oci-layout", "oci", (all) => all.filter(({ path }) => path !== "oci-layout"), "SOURCE_INVALID"],
  ["no blobs", "oci", (all) => all.filter(({ path }) => !path.startsWith("blobs")), "BLOB_NOT_FOUND"],
  [
    "blobs under traversing names",
    "oci",
    (all) => all.map((one) => ({ ...one, path: one.path.replace(/^blobs/, "../blobs") })),
    "BLOB_NOT_FOUND",
  ],
];

function isNoConfig({ path }: TestEntry): boolean {
  return !path.endsWith(".json") || path === "manifest.json";
}

function toC(entry: TestEntry): TestEntry {
  return entry.path === "manifest.json" ? { ...entry, content: String(entry.content).replace(/[0-9a-f]{64}\.json/, "c") } : entry;
}

function replaced(entries: TestEntry[], path: string, content: string): TestEntry[] {
  return entries.map((entry) => (entry.path === path ? { path, content } : entry));
}

/** The name in the archive and in manifest.json. */
function renamed(entries: TestEntry[], from: string, to: string): TestEntry[] {
  return entries.map((entry) => {
    if (entry.path === "manifest.json") return { ...entry, content: String(entry.content).replace(from, to) };
    return entry.path === from ? { ...entry, path: to } : entry;
  });
}

function linked(entries: TestEntry[], type: NonNullable<TestEntry["type"]>, target: string): TestEntry[] {
  return entries.map((entry) => (entry.path === "layer0/layer.tar" ? { path: entry.path, type, target } : entry));
}

function edited(entries: TestEntry[], edit: (image: { Layers: string[] }) => unknown): TestEntry[] {
  return entries.map((entry) => {
    if (entry.path !== "manifest.json") return entry;
    const list = JSON.parse(String(entry.content)) as { Layers: string[] }[];
    edit(list[0]!);
    return { ...entry, content: JSON.stringify(list) };
  });
}

function flipped(entries: TestEntry[], suffix: string): TestEntry[] {
  let done = false;
  return entries.map((entry) => {
    if (done || entry.path === "manifest.json" || !entry.path.endsWith(suffix)) return entry;
    done = true;
    const content = Buffer.from(entry.content ?? "");
    const at = suffix === ".json" ? content.indexOf("1970") : 0;
    content[at] = content[at]! ^ 1;
    return { ...entry, content };
  });
}

for (const [what, form, change, code] of HOSTILE) {
  test(`\`pull()\` of ${form === "oci" ? "an OCI" : "a Docker"} archive with ${what}: ${code}, nothing published, nothing left`, async () => {
    await using here = await place();
    const made = await makeImage();
    const entries = change(form === "oci" ? layoutEntries(made) : dockerEntries(made));
    await assert.rejects(here.pull(`${form}-archive:FILE`, entries), (error) => ShaleError.is(error) && error.code === code);
    assert.deepEqual(await here.store.images(), []);
    assert.deepEqual(staged(here.store), []);
  });
}

test("`pull()` refuses an archive that is cut off anywhere, or another file", async () => {
  await using here = await place();
  const archive = await tarOf(dockerEntries(await makeImage()));
  const end = archive.length - 1024;
  for (const length of [0, 100, 512, 700, 1300, Math.floor(end / 2), end - 700]) {
    await assert.rejects(here.pull("docker-archive:FILE", archive.subarray(0, length)), { code: "SOURCE_INVALID" }, `${length}`);
  }
  await assert.rejects(here.pull("docker-archive:FILE", Buffer.from("no tar at all".repeat(100))), { code: "SOURCE_INVALID" });
  await assert.rejects(here.pull("docker-archive:FILE", gzipSync(archive).subarray(0, -20)), { code: "SOURCE_INVALID" });
  await assert.rejects(here.again("docker-archive:/absent/for/sure"), { code: "SOURCE_INVALID" });
});

test("`pull()` follows a symlink to the archive, and refuses a FIFO and a directory", async () => {
  await using here = await place();
  const made = await makeImage();
  await here.pull("docker-archive:FILE", dockerEntries(made));
  const link = join(here.directory, "link.tar");
  await symlink("image.tar", link);
  assert.equal((await here.again(`docker-archive:${link}`)).cached, true);
  const fifo = join(here.directory, "fifo");
  execFileSync("mkfifo", [fifo]);
  for (const path of [fifo, here.directory]) await assert.rejects(here.again(`docker-archive:${path}`), { code: "SOURCE_INVALID" });
});
