/** What it costs to learn that nothing changed, and what a digest in a reference saves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildImageIndex, buildImage, type RecordedRequest } from "../../src/testing/index.ts";
import { layer, startStore, type StoreHarness } from "../support/store-harness.ts";

const ENTRIES = [{ path: "etc/motd", content: "hello\n" }];

function lines({ registry }: StoreHarness): readonly string[] {
  return registry.requests.map(({ method, path }: RecordedRequest) => `${method} ${path.split("/").slice(-2).join("/")}`);
}

for (const kind of ["manifest", "image index"] as const) {
  test(`\`always\` costs one HEAD when the tag of an ${kind} has not moved`, async () => {
    await using harness = await startStore();
    const image = buildImage({ layers: [await layer(ENTRIES)] });
    const reference = harness.registry.push("some/image", "v1", kind === "manifest" ? image : buildImageIndex([image]));
    await harness.pull(reference);
    harness.registry.requests.length = 0;
    assert.equal((await harness.pull(reference, { pullPolicy: "always" })).cached, true);
    assert.deepEqual(lines(harness), ["HEAD manifests/v1"]);
  });
}

for (const [what, action] of [
  ["refuses HEAD", { kind: "respond", status: 405 }],
  ["tells no digest", { kind: "headers", headers: { "docker-content-digest": undefined } }],
  ["tells a malformed digest", { kind: "headers", headers: { "docker-content-digest": "md5:x" } }],
] as const) {
  test(`\`always\` asks for the manifest itself when the registry ${what}`, async () => {
    await using harness = await startStore();
    const { reference } = await harness.pushEntries("some/image", ENTRIES);
    await harness.pull(reference);
    harness.registry.requests.length = 0;
    harness.registry.misbehave({ match: /^HEAD/, action });
    assert.equal((await harness.pull(reference, { pullPolicy: "always" })).cached, true);
    assert.deepEqual(lines(harness), ["HEAD manifests/latest", "GET manifests/latest"]);
  });
}

test("`always` believes no digest of a HEAD but that of what it has", async () => {
  await using harness = await startStore();
  const first = await harness.pushEntries("some/image", ENTRIES);
  await harness.pull(first.reference);
  const digest = `sha256:${"0".repeat(64)}`;
  harness.registry.misbehave({ match: /^HEAD/, action: { kind: "headers", headers: { "docker-content-digest": digest } } });
  const image = await harness.pull(first.reference, { pullPolicy: "always" });
  assert.equal(image.manifestDigest, first.image.manifest.digest);
});

test("`always` shows an unchanged manifest to `verifyManifest` all the same", async () => {
  const seen: string[] = [];
  await using harness = await startStore({ client: { verifyManifest: ({ digest }) => void seen.push(digest) } });
  const { reference, image } = await harness.pushEntries("some/image", ENTRIES);
  await harness.pull(reference);
  await harness.pull(reference, { pullPolicy: "always" });
  assert.deepEqual(seen, [image.manifest.digest, image.manifest.digest]);
});

for (const kind of ["manifest", "image index"] as const) {
  test(`A reference with the digest of an ${kind} that a tag led to is answered from the store`, async () => {
    await using harness = await startStore();
    const image = buildImage({ layers: [await layer(ENTRIES)] });
    const pushed = kind === "manifest" ? image : buildImageIndex([image]);
    const reference = harness.registry.push("some/image", "v1", pushed);
    const byTag = await harness.pull(reference);
    harness.registry.requests.length = 0;
    const pinned = reference.replace(":v1", `@${pushed.manifest.digest}`);
    for (const pullPolicy of ["never", "if-missing", "always"] as const) {
      const byDigest = await harness.pull(pinned, { pullPolicy });
      assert.deepEqual([byDigest.cached, byDigest.manifestDigest, byDigest.layers], [true, image.manifest.digest, byTag.layers]);
    }
    assert.deepEqual(lines(harness), []);
  });
}

test("A reference with a digest that the store has for another platform only is asked for", async () => {
  await using harness = await startStore();
  const images = ["amd64", "arm64"].map(async (architecture) =>
    buildImage({ layers: [await layer([{ path: architecture, content: "x" }])], platform: { os: "linux", architecture } }),
  );
  const index = buildImageIndex(await Promise.all(images));
  const reference = harness.registry.push("some/image", "v1", index);
  await harness.pull(reference, { platform: "linux/amd64" });
  const other = await harness.pull(reference.replace(":v1", `@${index.manifest.digest}`), { platform: "linux/arm64" });
  assert.equal(other.manifestDigest, index.images[1]!.manifest.digest);
  assert.equal(other.cached, false);
});
