/** A tree that is staged while its layer is ingested is the tree that the layer's sidecar says, whatever the archive does on the way. */
import assert from "node:assert/strict";
import { lstatSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { fsck } from "../../src/fsck/fsck.ts";
import { buildLayer, layerFromTar, type TestEntry } from "../../src/testing/index.ts";
import { compareTrees, manifestOfTree, type TreeEntry } from "../support/manifest-of-tree.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";
import { END, rawEntry } from "../tar/raw-header.ts";

const A = { content: "the same", mtime: 7 };
const BIG = Buffer.alloc(2_500_000, "large");

const directory = (path: string, mode = 0o755): TestEntry => ({ path, type: "directory", mode });
const link = (path: string, target: string, fields: Partial<TestEntry> = {}): TestEntry => ({ path, type: "hardlink", target, ...fields });
const symlink = (path: string, target: string): TestEntry => ({ path, type: "symlink", target });

/** Layers, bottom to top. */
const IMAGES: Readonly<Record<string, readonly (readonly TestEntry[])[]>> = {
  "files and directories": [[directory("d"), { path: "d/f", content: "f", mode: 0o4755 }, { path: "implied/by/f", content: "g" }]],
  "equal files in one layer": [["c", "b", "a", "d/b", "d/a", "e"].map((path) => ({ path, ...A }))],
  "equal files in several layers": [
    [{ path: "b", ...A }],
    [
      { path: "a", ...A },
      { path: "b", ...A },
    ],
    [{ path: "d/c", ...A }],
  ],
  "equal large files": [
    [
      { path: "b", content: BIG },
      { path: "a", content: BIG },
    ],
    [{ path: "c", content: BIG }],
  ],
  "a file twice": [
    [
      { path: "f", content: "first" },
      { path: "f", content: "second" },
    ],
  ],
  "a directory twice": [[directory("d", 0o700), { path: "d/f", content: "f" }, directory("d", 0o711)]],
  "a directory in a file's place": [[{ path: "x", content: "x" }, directory("x"), { path: "x/y", content: "y" }]],
  "a file in a directory's place": [[directory("x"), { path: "x/y", content: "y" }, { path: "x", content: "x" }]],
  "a file in the place of a directory whose only file the store has": [
    [{ path: "e", ...A }],
    [
      { path: "x/y", ...A },
      { path: "x", content: "x" },
    ],
  ],
  "a symlink in a file's place": [[{ path: "x", content: "x" }, symlink("x", "/etc/passwd")]],
  "a file in a symlink's place": [[symlink("x", "/etc/passwd"), { path: "x", content: "x" }]],
  "files behind a symlink": [[directory("usr/bin"), symlink("bin", "usr/bin"), { path: "bin/sh", content: "sh" }]],
  "files before the symlink that leads to them": [[{ path: "bin/sh", content: "sh" }, symlink("bin", "usr/bin"), directory("usr/bin")]],
  "hard links": [[{ path: "b", content: "b" }, link("a", "b"), link("c", "b"), { path: "d", ...A }, { path: "e", ...A }, link("f", "e")]],
  "a hard link with other attributes": [[{ path: "b", content: "b", mode: 0o600 }, link("a", "b", { mode: 0o755, mtime: 99 })]],
  "a hard link whose file was replaced": [[{ path: "b", content: "old" }, link("a", "b"), { path: "b", content: "new" }]],
  whiteouts: [
    [
      { path: "d/gone", content: "gone" },
      { path: "d/stays", content: "stays" },
    ],
    [{ path: "d/.wh.gone" }, { path: "d/.wh.odd", content: "with content" }, { path: "e/.wh..wh..opq" }, { path: "e/f", content: "f" }],
  ],
  "directories that only their owner cannot read": [[directory("d", 0o000), { path: "d/f", content: "f" }, directory("d/e", 0o500)]],
  "names that are not UTF-8, and odd spellings": [
    [
      { path: "./a//b/./c", content: "c" },
      { path: "a/b/\u00e9\u4e2d", content: "d" },
      { path: "/abs/olute", content: "e" },
    ],
  ],
};

async function problems(harness: StoreHarness): Promise<string[]> {
  const found: string[] = [];
  for await (const finding of fsck(harness.path, { level: "full" })) if (finding.severity !== "note") found.push(JSON.stringify(finding));
  return found;
}

/** A whiteout's time is that of its making. */
async function manifestOf(layer: string): Promise<TreeEntry[]> {
  return (await manifestOfTree(layer)).map((entry) => (entry.device === "0:0" ? { ...entry, mtime: "" } : entry));
}

/** The names of all trees by inode, so that what shares one is seen across layers. */
async function inodesOf(layers: readonly string[]): Promise<string[]> {
  const names = new Map<bigint, string[]>();
  for (const [index, layer] of layers.entries()) {
    for (const { path, type } of await manifestOfTree(layer)) {
      if (type !== "file" || path.includes("\\")) continue;
      const { ino } = lstatSync(join(layer, path), { bigint: true });
      names.set(ino, [...(names.get(ino) ?? []), `${index}:${path}`]);
    }
  }
  return [...names.values()].map((group) => group.join(" ")).sort();
}

/** Pulls `reference` as it comes, and in another store from the sidecars alone, and compares. */
async function compare(push: (harness: StoreHarness) => Promise<string>): Promise<void> {
  await using harnesses = await pair();
  const [staged, plain] = harnesses;
  const reference = await push(staged);
  const { layers } = await staged.pull(reference);
  assert.deepEqual(staged.staged(), []);
  const client = await plain.client();
  await using lazy = await client.pull(await push(plain), { materialize: "lazy" });
  await lazy.materialize();
  for (const [index, layer] of layers.entries()) {
    assert.deepEqual(compareTrees(await manifestOf(layer), await manifestOf(lazy.layers[index]!)), []);
  }
  assert.deepEqual(await inodesOf(layers), await inodesOf(lazy.layers));
  await staged.reopen();
  assert.deepEqual(await problems(staged), []);
}

async function pair(): Promise<[StoreHarness, StoreHarness] & AsyncDisposable> {
  const both: [StoreHarness, StoreHarness] = [await startStore(), await startStore()];
  return Object.assign(both, {
    [Symbol.asyncDispose]: async () => {
      for (const harness of both) await harness[Symbol.asyncDispose]();
    },
  });
}

for (const [name, layers] of Object.entries(IMAGES)) {
  test(`\`pull()\` makes the same trees of ${name} as the sidecars do`, async () => {
    await compare(async (harness) => (await harness.pushEntries("some/image", ...layers)).reference);
  });
}

test("`pull()` makes the same trees of a name that climbs out as the sidecars do: none", async () => {
  await using harness = await startStore();
  const tar = Buffer.concat([rawEntry({ name: "good" }, "good"), rawEntry({ name: "../escaped" }, "bad"), END]);
  const { reference } = harness.push("some/image", [layerFromTar(tar)]);
  await assert.rejects(harness.pull(reference), { code: "TAR_INVALID" });
  assert.deepEqual(harness.staged(), []);
});

const entry: fc.Arbitrary<TestEntry> = fc
  .record({
    path: fc.constantFrom("a", "b", "d", "d/a", "d/b", "d/d", "d/d/a", "e/a", "e/b"),
    kind: fc.constantFrom("file", "file", "file", "file", "directory", "hardlink", "symlink"),
    target: fc.constantFrom("a", "d", "d/a", "e"),
    content: fc.constantFrom("one", "two", ""),
    mode: fc.constantFrom(0o644, 0o755),
  })
  .map(({ path, kind, target, content, mode }): TestEntry => {
    if (kind === "directory") return directory(path, mode);
    if (kind === "symlink") return symlink(path, target);
    return kind === "hardlink" ? link(path, target, { mode }) : { path, content, mode };
  });

test("`pull()` makes the same trees of any layers as the sidecars do, or fails alike", async () => {
  const images = fc.sample(fc.array(fc.array(entry, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 3 }), 40);
  await using harnesses = await pair();
  const [staged, plain] = harnesses;
  let compared = 0;
  for (const [number, image] of images.entries()) {
    const layers = await Promise.all(image.map((entries) => buildLayer(entries)));
    const [first, second] = [staged, plain].map((harness) => harness.push(`image-${number}`, layers).reference);
    const eager = await staged.watch(first!);
    const lazy = await plain.watch(second!, { materialize: "lazy" });
    assert.equal((eager.error as { code?: string })?.code, (lazy.error as { code?: string })?.code, JSON.stringify(image));
    assert.deepEqual(staged.staged(), []);
    if (!eager.image) continue;
    await using other = await (await plain.client()).pull(second!);
    for (const [index, layer] of eager.image.layers.entries()) {
      const differences = compareTrees(await manifestOf(layer), await manifestOf(other.layers[index]!));
      assert.deepEqual(differences, [], JSON.stringify(image));
    }
    assert.deepEqual(await inodesOf(eager.image.layers), await inodesOf(other.layers), JSON.stringify(image));
    compared++;
  }
  assert.ok(compared > 0);
  await staged.reopen();
  assert.deepEqual(await problems(staged), []);
});
