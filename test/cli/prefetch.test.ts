import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { startRealStore, type RealStore } from "./real-run.ts";

interface Result {
  readonly images: readonly { readonly reference: string; readonly cached?: boolean; readonly error?: { readonly code: string } }[];
}

async function threeImages(): Promise<RealStore & { readonly references: readonly string[] }> {
  const store = await startRealStore();
  const references: string[] = [];
  for (const name of ["one", "two", "three"]) {
    const shared = [{ path: "shared", content: "the same in all\n" }];
    references.push((await store.harness.pushEntries(`team/${name}`, shared, [{ path: name, content: name }])).reference);
  }
  return Object.assign(store, { references });
}

const FLAGS = ["--plain-http", "--anonymous"] as const;

test("`shale prefetch` pulls all images lazily, shared layers once, and lists the images in the given order", async () => {
  await using store = await threeImages();
  const { images } = await store.json<Result>("prefetch", ...FLAGS, ...store.references);
  assert.deepEqual(
    images.map(({ reference, cached }) => [reference, cached]),
    store.references.map((reference) => [reference, false]),
  );
  assert.deepEqual(readdirSync(store.harness.file("trees")), []);
  assert.equal(store.harness.blobRequests(), 3 + 4, "configs and layers");
  const again = await store.json<Result>("prefetch", ...FLAGS, ...store.references);
  assert.ok(again.images.every(({ cached }) => cached));
});

test("`shale prefetch` continues if one image fails, and exits with its code", async () => {
  await using store = await threeImages();
  const [one = "", two = ""] = store.references;
  const { exitCode, stdout } = await store.run(["prefetch", ...FLAGS, "--json", one, `${one}x`, two]);
  assert.equal(exitCode, 3);
  const { images } = JSON.parse(stdout) as Result;
  assert.deepEqual(
    images.map(({ cached, error }) => error?.code ?? cached),
    [false, "IMAGE_NOT_FOUND", false],
  );
});

test("`shale prefetch --from` reads references from a file, with comments", async () => {
  await using store = await threeImages();
  const file = join(store.harness.path, "..", "images.txt");
  writeFileSync(file, `# ours\n${store.references.join("  # why\n\n")}\n`);
  const { stdout } = await store.run(["prefetch", ...FLAGS, "--jobs", "1", "--from", file]);
  assert.deepEqual(
    stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[0]),
    store.references,
  );
  assert.deepEqual(await store.failure("prefetch", "--from", `${file}x`), ["USAGE", 2]);
  assert.deepEqual(await store.failure("prefetch"), ["USAGE", 2]);
});

test("`shale prefetch` pulls at most --jobs images at a time, and stops at an interruption", async () => {
  await using store = await threeImages();
  const { registry } = store.harness;
  registry.misbehave({ match: /manifests/, times: 99, action: { kind: "stall", after: 0 } });
  const abort = new AbortController();
  const running = store.run(["prefetch", ...FLAGS, "--jobs", "2", ...store.references], { signal: abort.signal });
  const asked = (): number => new Set(registry.requests.filter(({ path }) => path.includes("/manifests/")).map(({ path }) => path)).size;
  while (asked() < 2) await delay(5);
  await delay(100);
  assert.equal(asked(), 2);
  abort.abort(new Error("interrupted"));
  const { exitCode, stdout, stderr } = await running;
  assert.deepEqual([exitCode, stdout], [130, ""]);
  assert.match(stderr, /^shale: INTERRUPTED: [^\n]+\n$/);
  assert.equal(asked(), 2);
  assert.deepEqual(store.harness.staged(), []);
});
