/** Which names of an image share an inode: those that the image says are hard links, and no others. */
import assert from "node:assert/strict";
import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { Image, Profile } from "../../src/index.ts";
import { layerFromTar, type TestEntry } from "../../src/testing/index.ts";
import { rebuildLayer } from "../support/rebuild-layer.ts";
import { layer, startStore } from "../support/store-harness.ts";
import { END, paxHeader, rawEntry } from "../tar/raw-header.ts";

/** The regular files with content of an image's merged view, by inode: names of lower layers that an upper one covers are gone. */
function byInode(image: Image): Map<string, Set<string>> {
  const top = new Map<string, string>();
  for (const tree of image.layers) {
    for (const name of readdirSync(tree, { recursive: true, encoding: "utf8" })) {
      const stat = lstatSync(join(tree, name));
      if (stat.isDirectory()) continue;
      top.set(name, stat.isFile() && stat.size > 0 ? `${stat.dev}:${stat.ino}` : "");
    }
  }
  const found = new Map<string, Set<string>>();
  for (const [name, inode] of top) if (inode !== "") found.set(inode, (found.get(inode) ?? new Set()).add(name));
  return found;
}

const names = ["a", "b", "c", "d/a", "d/b"];
const entry: fc.Arbitrary<TestEntry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ path: fc.constantFrom(...names), content: fc.constantFrom("x", "x", "y"), mtime: fc.constantFrom(0, 0, 0, 1) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ path: fc.constantFrom("l", "d/l"), type: fc.constant("hardlink" as const), target: fc.constantFrom("a", "b") }),
  },
);
const image = fc.array(fc.array(entry, { maxLength: 7 }), { minLength: 1, maxLength: 4 });

test("No two names of one image share an inode unless the image has them as hard links", async () => {
  await using harness = await startStore();
  await fc.assert(
    fc.asyncProperty(image, async (layers) => {
      const sound = layers.map((entries) => [
        ...entries.filter(({ type }) => !type),
        ...entries.filter((one) => one.type && entries.some(({ path }) => path === one.target)),
      ]);
      const { reference } = await harness.pushEntries("random/image", ...sound);
      const pulled = await harness.pull(reference, { pullPolicy: "always" });
      const links = new Set(
        sound
          .flat()
          .filter(({ type }) => type)
          .flatMap(({ path, target }) => [path, target!]),
      );
      for (const group of byInode(pulled).values()) {
        if (group.size > 1)
          assert.ok(
            [...group].every((name) => links.has(name)),
            [...group].join(),
          );
      }
      for (const [index, entries] of sound.entries()) {
        for (const { path, type, target } of entries) {
          const last = entries.findLast((other) => other.path === path);
          if (!type || last?.target !== target) continue;
          const at = (name: string): number => lstatSync(join(pulled.layers[index]!, name)).ino;
          assert.equal(at(path), at(target!));
        }
      }
    }),
    { numRuns: 30 },
  );
});

test("Trees are shared exactly when their resolutions are equal", async () => {
  await using harness = await startStore();
  const base = await layer([{ path: "base", content: "same" }]);
  const upper = await layer([
    { path: "upper", content: "same" },
    { path: "own", content: "else" },
  ]);
  const other = await layer([{ path: "other", content: "different" }]);
  const pull = async (name: string, layers: Awaited<ReturnType<typeof layer>>[]): Promise<readonly string[]> =>
    (await harness.pull(harness.push(name, layers).reference)).layers;
  const alone = await pull("upper/alone", [upper]);
  const onOther = await pull("upper/on-other", [other, upper]);
  const onBase = await pull("upper/on-base", [base, upper]);
  const onBoth = await pull("upper/on-both", [other, base, upper]);
  assert.equal(onOther[1], alone[0]);
  assert.notEqual(onBase[1], alone[0]);
  assert.equal(onBoth[2], onBase[1]);
  assert.equal(onBoth[1], onBase[0]);
});

for (const profile of ["overlay", "userxattr", "oci"] as const satisfies readonly Profile[]) {
  test(`Equal files that differ only in attributes which the profile ${profile} does not store do not share an inode`, async () => {
    await using harness = await startStore({ store: { profile } });
    const capable = Buffer.from("0100000200200000000000000000000000000000", "hex");
    const tar = Buffer.concat([
      rawEntry({ name: "plain" }, "program"),
      paxHeader([["SCHILY.xattr.security.capability", capable]]),
      rawEntry({ name: "capable" }, "program"),
      paxHeader([["SCHILY.xattr.user.containers.override_stat", "0:0:4755:file"]]),
      rawEntry({ name: "pretender" }, "program"),
      END,
    ]);
    const { reference } = harness.push("caps/image", [layerFromTar(tar)]);
    const [tree] = (await harness.pull(reference)).layers;
    const inodes = ["plain", "capable", "pretender"].map((name) => lstatSync(join(tree!, name)).ino);
    assert.equal(new Set(inodes).size, 3);
  });
}

test("A hard-link group keeps one inode whichever profile or ordinal its link source is missing for, and however large its tree", async () => {
  await using harness = await startStore();
  const filler = Array.from({ length: 4200 }, (_, index): TestEntry => ({ path: `m/${index}`, content: "" }));
  const links = ["z/1", "z/2", "a/3"].map((path): TestEntry => ({ path, type: "hardlink", target: "a/first" }));
  const entries: TestEntry[] = [{ path: "a/zero", content: "twin" }, { path: "a/first", content: "twin" }, ...filler, ...links];
  const { reference } = await harness.pushEntries("large/group", entries);
  for (const profile of ["overlay", "userxattr", "oci"] as const) {
    const [tree] = (await harness.pull(reference, { profile })).layers;
    const inodes = ["a/first", "z/1", "z/2", "a/3"].map((name) => lstatSync(join(tree!, name)).ino);
    assert.equal(new Set(inodes).size, 1, profile);
    assert.notEqual(lstatSync(join(tree!, "a/zero")).ino, inodes[0]);
  }
});

test("Empty files are never linked", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("empty/files", [{ path: "a" }, { path: "b" }], [{ path: "c" }]);
  const { layers } = await harness.pull(reference);
  assert.ok(["a", "b"].every((name) => lstatSync(join(layers[0]!, name)).nlink === 1));
  assert.equal(lstatSync(join(layers[1]!, "c")).nlink, 1);
});

test("A second image with the same files makes no new chunk", async () => {
  await using harness = await startStore();
  const first = await harness.pushEntries("first/image", [
    { path: "a", content: "1" },
    { path: "b", content: "2" },
  ]);
  const second = await harness.pushEntries("second/image", [{ path: "elsewhere/b", content: "2" }]);
  await harness.pull(first.reference);
  await harness.reopen();
  const { stats } = await harness.pull(second.reference);
  assert.deepEqual([stats.ingestedLayers, stats.newChunks, stats.newChunkBytes], [1, 0, 0]);
});

test("A hard link whose header says otherwise changes the inode for all its names, and the other files with that content keep theirs", async () => {
  await using harness = await startStore();
  const entries: TestEntry[] = [
    { path: "twin", content: "program" },
    { path: "a", content: "program" },
    { path: "b", type: "hardlink", target: "a", mode: 0o4755, uid: 12, mtime: 99 },
    { path: "c", content: "replaced" },
    { path: "d", type: "hardlink", target: "c", mode: 0o600 },
    { path: "c", content: "new" },
  ];
  const built = await layer(entries, { compression: "none" });
  const { layers } = await harness.pull(harness.push("altered/link", [built]).reference);
  const stat = (name: string): string => {
    const { mode, uid, mtimeMs, nlink } = lstatSync(join(layers[0]!, name));
    return [(mode & 0o7777).toString(8), uid, mtimeMs, nlink > 2].join();
  };
  assert.deepEqual(["twin", "a", "b", "c", "d"].map(stat), [
    "644,0,0,false",
    "4755,12,99000,true",
    "4755,12,99000,true",
    "644,0,0,false",
    "600,0,0,false",
  ]);
  assert.equal(readFileSync(join(layers[0]!, "d"), "utf8"), "replaced");
  assert.ok((await rebuildLayer(harness.path, built.diffId)).equals(built.content as Buffer));
  await harness.reopen();
  assert.deepEqual((await harness.pull(`${harness.registry.host}/altered/link:latest`, { force: true })).layers, layers);
});
