/** The test set-up itself: a real image, a real registry, and a reference unpacking that can be compared. */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ACCOUNT, pushLayout, startDockerRegistry } from "../support/docker-registry.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { compareTrees, manifestOfTree } from "../support/manifest-of-tree.ts";
import type { TreeEntry } from "../support/manifest-of-tree.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";
import { umociUnpack } from "../support/umoci-unpack.ts";

test("ensureImages() builds three layers once", async () => {
  const { layout } = await ensureImages();
  const image = JSON.parse((await run("skopeo", ["inspect", `oci:${layout}:full`])).toString()) as { Layers: string[] };
  assert.equal(image.Layers.length, 3);
  assert.deepEqual(await ensureImages(), { layout, tags: ["base", "packages", "full"] });
});

test("manifestOfTree() sees all that the image has, and the same twice", async () => {
  const { layout } = await ensureImages();
  await using directory = await temporaryDirectory();
  const root = await umociUnpack(layout, "full", join(directory.path, "bundle"));
  const tree = await manifestOfTree(root);
  const at = (path: string): TreeEntry => {
    const entry = tree.find((one) => one.path === path);
    assert.ok(entry, path);
    return entry;
  };
  assert.ok(tree.length > 8000);
  assert.equal(at("opt/shale/setuid").mode, "4755");
  assert.equal(at("opt/shale/old").mtime, "12345.678901234");
  assert.equal(at("opt/shale/before-1970").mtime, "-2.500000000");
  assert.equal(at("opt/shale/second").linkedWith, "opt/shale/deep/third");
  assert.equal(at("opt/shale/owned").uid, 1234);
  assert.equal(at("opt/shale/null").device, "1:3");
  assert.equal(at("opt/shale/climbing").link, "../../../../../../etc/passwd");
  assert.equal(at("opt/shale/capable").xattrs["user.binary"], "0x00ff0a3d");
  assert.ok("security.capability" in at("opt/shale/capable").xattrs);
  assert.equal(at("opt/shale/same-as-in-the-base").sha256, at("etc/debian_version").sha256);
  assert.equal(at("opt/shale/caf\\xe9").type, "file");
  assert.equal(at("opt/shale/new\\x0aline").type, "file");
  assert.equal(at("usr/share/common-licenses").type, "file");
  assert.deepEqual(await readdir(join(root, "etc/cron.daily")), ["only-this"]);
  assert.deepEqual(compareTrees(await manifestOfTree(root), tree), []);
});

test("compareTrees() tells each difference, and none in the fields it was told to ignore", async () => {
  await using directory = await temporaryDirectory();
  await run("sh", ["-c", "mkdir a b; echo x >a/f; echo y >b/f; touch a/g b/h; touch -d @1 a b a/f b/f"], { cwd: directory.path });
  const [a, b] = [await manifestOfTree(join(directory.path, "a")), await manifestOfTree(join(directory.path, "b"))];
  assert.deepEqual(compareTrees(a, b, ["sha256"]), ["g: is not expected", "h: is missing"]);
  assert.equal(compareTrees(a, b).length, 3);
});

test("startDockerRegistry() serves what pushLayout() brings, and asks for a password if it should", async () => {
  const { layout } = await ensureImages();
  await using registry = await startDockerRegistry({ password: true });
  const reference = await pushLayout({ directory: layout, tag: "base" }, registry, { repository: "tests/debian", tag: "base" });
  const manifest = `http://${registry.host}/v2/tests/debian/manifests/base`;
  assert.equal(reference, `${registry.host}/tests/debian:base`);
  assert.equal((await fetch(manifest)).status, 401);
  const authorization = `Basic ${Buffer.from(`${ACCOUNT.username}:${ACCOUNT.password}`).toString("base64")}`;
  const answer = await fetch(manifest, { headers: { authorization, accept: "application/vnd.oci.image.manifest.v1+json" } });
  assert.equal(answer.status, 200);
  await answer.arrayBuffer();
});
