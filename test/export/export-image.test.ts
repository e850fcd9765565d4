import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { exportImage, openStore, Registry } from "../../src/index.ts";
import type { ExportImageOptions, ExportResult, RegistryOptions, Store } from "../../src/index.ts";
import { buildImage, buildLayer, writeLayout } from "../../src/testing/index.ts";
import type { TestImage } from "../../src/testing/index.ts";
import { listFiles } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

interface Place extends AsyncDisposable {
  readonly directory: string;
  readonly store: Store;
  readonly made: TestImage;
  /** The reference of what was pulled. */
  readonly reference: string;
  export(destination: string, options?: ExportImageOptions): Promise<ExportResult>;
  /** Pulls into a store of its own. */
  elsewhere(reference: string): Promise<{ readonly diffIds: readonly string[]; readonly manifestDigest: string; readonly text: string }>;
}

const BIG = Buffer.alloc(400_000, "layer upon layer ");

async function place({
  compression = "zstd",
  ...client
}: { compression?: "gzip" | "none" | "zstd" } & Partial<RegistryOptions> = {}): Promise<Place> {
  const temporary = await temporaryDirectory();
  const directory = temporary.path;
  const base = await buildLayer(
    [
      { path: "etc/motd", content: "hello\n", mtime: 1234 },
      { path: "big", content: BIG },
    ],
    { compression },
  );
  const upper = await buildLayer([{ path: "etc/.wh.gone" }, { path: "run", mode: 0o4755, content: "#!\n" }], { compression });
  const made = buildImage({ layers: [base, upper, base], manifest: { annotations: { note: "kept" } } });
  await writeLayout(join(directory, "layout"), { "1.0": made });
  const reference = `oci:${join(directory, "layout")}:1.0`;
  const store = await openStore(join(directory, "store"));
  const registry = new Registry({ store, ...client });
  const image = await registry.pull(reference);
  let stores = 0;
  return {
    directory,
    store,
    made,
    reference,
    export: (destination, options) => exportImage(image, destination.replace("DIR", directory), options),
    elsewhere: async (from) => {
      await using other = await openStore(join(directory, `other-${stores++}`));
      await using there = new Registry({ store: other });
      await using again = await there.pull(from.replace("DIR", directory));
      const { config, manifestDigest } = again;
      return { diffIds: config.diffIds, manifestDigest, text: (await again.readFile("/etc/motd")).toString() };
    },
    [Symbol.asyncDispose]: async () => {
      await image.close();
      await registry.close();
      await store.close();
      await temporary[Symbol.asyncDispose]();
    },
  };
}

function temporaryNames(directory: string): string[] {
  return readdirSync(directory).filter((name) => name.startsWith(".shale-"));
}

for (const destination of [
  "oci:DIR/new:2",
  "oci-archive:DIR/new.tar:2",
  "oci:DIR/untagged",
  "oci-archive:DIR/untagged.tar",
  "docker-archive:DIR/new.tar:app:2",
]) {
  test(`\`exportImage()\` to ${destination} gives an image with the same layers, and nothing beside it`, async () => {
    await using here = await place();
    const result = await here.export(destination);
    const again = await here.elsewhere(destination);
    assert.deepEqual(
      again.diffIds,
      here.made.layers.map(({ diffId }) => diffId),
    );
    assert.equal(again.text, "hello\n");
    assert.equal(result.sameManifest, false);
    if (result.manifestDigest !== undefined) assert.equal(again.manifestDigest, result.manifestDigest);
    assert.deepEqual(temporaryNames(here.directory), []);
  });
}

for (const compression of ["none", "gzip", "zstd"] as const) {
  test(`\`exportImage()\` with ${compression} writes the same bytes again, and keeps annotations and config`, async () => {
    await using here = await place();
    const files = ["a.tar", "b.tar"].map((name) => join(here.directory, name));
    const results = [];
    for (const file of files) results.push(await here.export(`oci-archive:${file}`, { compression }));
    const [one, two] = files.map((file) => createHash("sha256").update(readFileSync(file)).digest("hex"));
    assert.equal(one, two);
    assert.deepEqual(results[0], results[1]);
    await here.export("oci:DIR/layout-2", { compression });
    const manifest = JSON.parse(
      readFileSync(join(here.directory, "layout-2/blobs/sha256", results[0]!.manifestDigest!.slice(7)), "utf8"),
    ) as {
      annotations: unknown;
      config: { digest: string };
      layers: { mediaType: string }[];
    };
    assert.deepEqual(manifest.annotations, { note: "kept" });
    assert.equal(manifest.config.digest, here.made.config.digest);
    const suffix = compression === "none" ? "" : `+${compression}`;
    assert.deepEqual(
      manifest.layers.map(({ mediaType }) => mediaType),
      Array(3).fill(`application/vnd.oci.image.layer.v1.tar${suffix}`),
    );
  });
}

test("`exportImage()` keeps the manifest and its blobs when the blobs were kept, or were not compressed", async () => {
  for (const options of [{ keepBlobs: true }, { compression: "none" } as const, { keepBlobs: true, compression: "gzip" } as const]) {
    await using here = await place(options);
    const result = await here.export("oci:DIR/new:1");
    assert.equal(result.sameManifest, true);
    assert.equal(result.manifestDigest, here.made.manifest.digest);
    assert.deepEqual(
      result.layers.map(({ digest }) => digest),
      here.made.layers.map(({ digest }) => digest),
    );
    const names = (path: string): string[] => readdirSync(join(here.directory, path, "blobs/sha256")).sort();
    assert.deepEqual(names("new"), names("layout"));
  }
});

test("`exportImage()` rebuilds a layer whose kept blob is damaged", async () => {
  await using here = await place({ keepBlobs: true });
  const blob = here.made.layers[0]!;
  const path = join(here.directory, "store/blobs", blob.digest.replace(":", "-"));
  const bytes = readFileSync(path);
  bytes[100] = bytes[100]! ^ 1;
  rmSync(path);
  writeFileSync(path, bytes);
  const result = await here.export("oci:DIR/new");
  assert.equal(result.layers[1]!.digest, here.made.layers[1]!.digest);
  assert.equal((await here.elsewhere("oci:DIR/new")).text, "hello\n");
});

test("`exportImage()` adds to a layout that is there: other tags stay, the same tag is replaced", async () => {
  await using here = await place();
  const tags = (): unknown[] => {
    const index = JSON.parse(readFileSync(join(here.directory, "new/index.json"), "utf8")) as {
      manifests: { annotations?: Record<string, string> }[];
    };
    return index.manifests.map(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"]);
  };
  mkdirSync(join(here.directory, "new"));
  for (const tag of [":a", ":b", ":a", "", ""]) await here.export(`oci:DIR/new${tag}`, { compression: tag === ":b" ? "none" : "gzip" });
  assert.deepEqual(tags(), ["b", "a", undefined]);
  await Promise.all(Array.from({ length: 6 }, (_, at) => here.export(`oci:DIR/new:p${at}`)));
  assert.equal(tags().length, 9);
  assert.equal((await here.elsewhere("oci:DIR/new:p3")).text, "hello\n");
  assert.deepEqual(temporaryNames(join(here.directory, "new")), []);
});

test("`exportImage()` to a stream writes what a file would have, and leaves the stream open", async () => {
  await using here = await place();
  await here.export("docker-archive:DIR/x.tar:app:1");
  const output = new PassThrough();
  const all = buffer(output);
  await here.export("docker-archive:-:app:1", { output });
  assert.equal(output.writableEnded, false);
  output.end();
  assert.ok((await all).equals(readFileSync(join(here.directory, "x.tar"))));
});

test("`exportImage()` to a stream ends when that is closed, fails or takes nothing more", { timeout: 20_000 }, async () => {
  await using here = await place({ compression: "none" });
  const failure = new Error("no more");
  const full = (then: (stream: PassThrough) => void): PassThrough => {
    const stream = new PassThrough({ highWaterMark: 1 });
    stream.once("data", () => setImmediate(then, stream.pause()));
    return stream;
  };
  const cases: readonly [Writable, unknown][] = [
    [new PassThrough().destroy(), { code: "DESTINATION_UNUSABLE" }],
    [full((stream) => stream.destroy()), { code: "DESTINATION_UNUSABLE" }],
    [full((stream) => stream.destroy(failure)), failure],
    [new Writable({ highWaterMark: 2 ** 30, write: (_piece, _encoding, done) => void setTimeout(done, 200, failure) }), failure],
  ];
  for (const [output, expected] of cases) {
    output.on("error", () => {});
    await assert.rejects(here.export("docker-archive:-:app:1", { output }), expected as Error);
  }
  const abort = new AbortController();
  const deaf = new Writable({ highWaterMark: 2 ** 30, write: () => void setTimeout(() => abort.abort(failure), 200) });
  await assert.rejects(here.export("docker-archive:-:app:1", { output: deaf, signal: abort.signal }), failure);
  assert.deepEqual([deaf.listenerCount("close"), deaf.listenerCount("error"), deaf.listenerCount("drain")], [0, 0, 0]);
});

test("`exportImage()` refuses what is no place to export to, and leaves it alone", async () => {
  await using here = await place();
  mkdirSync(join(here.directory, "full"));
  writeFileSync(join(here.directory, "full/file"), "mine");
  symlinkSync("full", join(here.directory, "link"));
  for (const destination of [
    "oci:DIR/full",
    "oci:DIR/full/file",
    "oci:DIR/absent/x",
    "oci-archive:DIR/full",
    "oci-archive:DIR/absent/x.tar",
    "docker-archive:/dev/null",
  ])
    await assert.rejects(here.export(destination), { code: "DESTINATION_UNUSABLE" }, destination);
  for (const destination of ["alpine", "DIR/x.tar", `oci:DIR/new@sha256:${"0".repeat(64)}`])
    await assert.rejects(here.export(destination), { code: "REFERENCE_INVALID" }, destination);
  await assert.rejects(async () => here.export("oci:DIR/new", { compression: "lzma" as "gzip" }), TypeError);
  assert.equal(readFileSync(join(here.directory, "full/file"), "utf8"), "mine");
  assert.deepEqual([...temporaryNames(here.directory), ...temporaryNames(join(here.directory, "full"))], []);
});

test("`exportImage()` that is stopped, or finds damage, leaves what was there before", async () => {
  await using here = await place();
  await here.export("oci:DIR/new:old", { compression: "none" });
  writeFileSync(join(here.directory, "old.tar"), "old");
  const before = listFiles(join(here.directory, "new"));
  const reason = new Error("enough");
  const targets = ["oci:DIR/new:1", "oci-archive:DIR/old.tar", "docker-archive:DIR/old.tar"];
  for (const target of targets) {
    await assert.rejects(here.export(target, { signal: AbortSignal.abort(reason) }), (error) => error === reason);
    const abort = new AbortController();
    const running = here.export(target, { signal: abort.signal });
    setImmediate(() => abort.abort(reason));
    await assert.rejects(running, (error) => error === reason, target);
  }
  const chunks = join(here.store.path, "chunks");
  const chunk = readdirSync(chunks, { recursive: true, withFileTypes: true }).find(
    (one) => one.isFile() && readFileSync(join(one.parentPath, one.name)).length === BIG.length,
  )!;
  const path = join(chunk.parentPath, chunk.name);
  const content = readFileSync(path);
  content[5] = content[5]! ^ 1;
  writeFileSync(path, content);
  for (const target of targets) await assert.rejects(here.export(target), { code: "DIGEST_MISMATCH" }, target);
  truncateSync(path, 3);
  for (const target of targets) await assert.rejects(here.export(target), { code: "STORE_DAMAGED" }, target);
  assert.deepEqual(listFiles(join(here.directory, "new")), before);
  assert.equal(readFileSync(join(here.directory, "old.tar"), "utf8"), "old");
  assert.deepEqual([...temporaryNames(here.directory), ...temporaryNames(join(here.directory, "new"))], []);
  assert.deepEqual(
    readdirSync(join(here.store.path, "staging")).filter((name) => name.startsWith("export")),
    [],
  );
});

test("`exportImage()` names the image of a Docker archive as it was pulled, unless told otherwise", async () => {
  await using here = await place();
  await using registry = new Registry({ store: here.store });
  await using named = await registry.pull(here.reference, { as: "example.com/app:3" });
  const names = async (destination: string): Promise<unknown> => {
    await exportImage(named, destination.replace("DIR", here.directory));
    await using other = await openStore(join(here.directory, "names"));
    await using there = new Registry({ store: other });
    const input = (async function* () {
      yield readFileSync(join(here.directory, "n.tar"));
    })();
    await using image = await there.pull("docker-archive:-", { input });
    return image.reference;
  };
  assert.equal(await names("docker-archive:DIR/n.tar"), "example.com/app:3");
  assert.equal(await names("docker-archive:DIR/n.tar:other/name:4"), "docker.io/other/name:4");
});
