import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { materializeRootfs, openStore, Registry } from "../../../src/index.ts";
import { buildImage, buildLayer, writeLayout, type TestEntry } from "../../../src/testing/index.ts";
import { uniqueBytes } from "../../../tools/bench/images.ts";
import { readLayers, type LayoutImage } from "../../../tools/bench/layout.ts";
import { allEntries, relayer } from "../../../tools/bench/relayer.ts";
import { manifestOfTree } from "../../support/manifest-of-tree.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const LOWER: readonly TestEntry[] = [
  { path: "etc", type: "directory", mode: 0o750, mtime: 5 },
  { path: "etc/a", content: "a".repeat(3000), mtime: 1, uid: 7 },
  { path: "etc/gone", content: "gone" },
  { path: "gone", type: "directory" },
  { path: "gone/below", content: "gone" },
  { path: "opt", type: "directory" },
  { path: "opt/empty", type: "directory" },
  { path: `opt/${"long".repeat(40)}`, content: "long" },
];
const UPPER: readonly TestEntry[] = [
  { path: "etc/a", content: "changed", xattrs: { "user.note": "x" } },
  { path: "etc/none", content: "", mode: 0 },
  { path: "etc/.wh.gone" },
  { path: ".wh.gone" },
  { path: "z", content: "z".repeat(3000) },
  { path: "z2", type: "hardlink", target: "z" },
  { path: "s", type: "symlink", target: "etc/a" },
];

async function writeSource(directory: string): Promise<LayoutImage> {
  const layers = [await buildLayer(LOWER), await buildLayer(UPPER)];
  await writeLayout(join(directory, "source"), { tag: buildImage({ layers }) });
  return { directory: join(directory, "source"), tag: "tag" };
}

/** The merged root file system, as shale sees it. */
async function manifest(image: LayoutImage, directory: string): Promise<unknown> {
  await using store = await openStore(join(directory, `store-${image.tag}`));
  await using registry = new Registry({ store });
  await using pulled = await registry.pull(`oci:${image.directory}:${image.tag}`);
  await materializeRootfs(pulled, join(directory, `root-${image.tag}`), { mode: "copy" });
  return await manifestOfTree(join(directory, `root-${image.tag}`));
}

test("`relayer()` makes an image with the same files in other layers", async () => {
  await using directory = await temporaryDirectory();
  const source = await writeSource(directory.path);
  const target = { directory: join(directory.path, "target"), tag: "other" };
  await relayer(source, target, { layers: 3 });
  const layers = await readLayers(target);
  assert.equal(layers.length, 3);
  assert.equal(new Set(layers.map(({ digest }) => digest)).size, 3);
  assert.deepEqual(await manifest(target, directory.path), await manifest(source, directory.path));
});

test("`relayer()` makes copies that have no content in common", async () => {
  await using directory = await temporaryDirectory();
  const source = await writeSource(directory.path);
  const target = { directory: join(directory.path, "target"), tag: "copies" };
  await relayer(source, target, { layers: 1, copies: ["a", "b"] });
  const paths: string[] = [];
  for await (const { entry } of allEntries(target)) {
    entry.content.resume();
    paths.push(entry.path);
  }
  assert.equal(new Set(paths).size, paths.length);
  assert.deepEqual(
    paths.filter((path) => path.startsWith("a/")).map((path) => path.slice(2)),
    paths.filter((path) => path.startsWith("b/")).map((path) => path.slice(2)),
  );
  const facts = { tag: "", what: "", layers: 0, bytes: 0, entries: 0, unpacked: 0 };
  // of each copy: etc/a, the long name and z with one byte more; etc/none stays empty, z2 is a link
  assert.deepEqual(await uniqueBytes([{ ...target, facts }]), [{ bytes: 2 * (8 + 5 + 3001), inBlocks: 6 * 4096, asInodes: 6 * 4096 }]);
});
