/** The same image on ext4, XFS and btrfs, each in a file, mounted for the test; and limits of links and directories. Needs root. */
import assert from "node:assert/strict";
import { linkSync, lstatSync, mkdirSync, readdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { materializeRootfs, openStore, Registry, ShaleError, type Store } from "../../src/index.ts";
import { buildImage, buildLayer, writeLayout, type TestEntry } from "../../src/testing/index.ts";
import { ensureImages } from "../support/ensure-images.ts";
import { compareTrees, manifestOfTree, type TreeEntry } from "../support/manifest-of-tree.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

interface FileSystem extends AsyncDisposable {
  readonly path: string;
}

const MAKE: Readonly<Record<string, readonly string[]>> = {
  ext4: ["mkfs.ext4", "-q", "-F"],
  xfs: ["mkfs.xfs", "-q", "-m", "reflink=1"],
  btrfs: ["mkfs.btrfs", "-q"],
};

/** A new file system of 2 GiB (sparse), mounted. */
async function makeFileSystem(type: string, extra: readonly string[] = []): Promise<FileSystem> {
  const directory = await temporaryDirectory();
  const [image, path] = [join(directory.path, "image"), join(directory.path, "mounted")];
  mkdirSync(path);
  await run("truncate", ["-s", "2G", image]);
  const [program = "", ...args] = MAKE[type]!;
  await run(program, [...args, ...extra, image]);
  await run("mount", ["-o", "loop", image, path]);
  const dispose = async (): Promise<void> => {
    await run("umount", [path]);
    await directory[Symbol.asyncDispose]();
  };
  return { path, [Symbol.asyncDispose]: dispose };
}

/** Bytes in use, once all is written. */
async function used(path: string): Promise<number> {
  await run("sync", ["-f", path]);
  const { blocks, bfree, bsize } = statfsSync(path);
  return (blocks - bfree) * bsize;
}

async function pullEntries(store: Store, directory: string, ...layers: readonly (readonly TestEntry[])[]): ReturnType<Registry["pull"]> {
  await using registry = new Registry({ store });
  await writeLayout(directory, { image: buildImage({ layers: await Promise.all(layers.map((entries) => buildLayer(entries))) }) });
  return await registry.pull(`oci:${directory}:image`, { materialize: "lazy" });
}

let reference: TreeEntry[] | undefined;

describe("File systems", () => {
  for (const type of ["ext4", "xfs", "btrfs"]) {
    test(`\`materializeRootfs()\` gives the same on ${type}, and reflinks share blocks where they can`, async () => {
      const { layout } = await ensureImages();
      await using fs = await makeFileSystem(type);
      await using store = await openStore(join(fs.path, "store"), { profile: "overlay" });
      await using registry = new Registry({ store });
      await using image = await registry.pull(`oci:${layout}:full`);
      const place = (name: string): string => join(fs.path, name);
      const before = await used(fs.path);
      const linked = await materializeRootfs(image, place("link"), { mode: "link" });
      const afterLink = await used(fs.path);
      const expected = (reference ??= await manifestOfTree(place("link")));
      assert.deepEqual(compareTrees(await manifestOfTree(place("link")), expected), []);
      const reflink = materializeRootfs(image, place("reflink"), { mode: "reflink" });
      if (type === "ext4") await assert.rejects(reflink, (error) => ShaleError.is(error, "MODE_UNSUPPORTED"));
      else {
        const { reflinked, copied } = await reflink;
        assert.deepEqual([reflinked > 0, copied], [true, 0]);
        assert.deepEqual(compareTrees(await manifestOfTree(place("reflink")), expected), []);
      }
      const afterReflink = await used(fs.path);
      await materializeRootfs(image, place("copy"), { mode: "copy" });
      const afterCopy = await used(fs.path);
      assert.deepEqual(compareTrees(await manifestOfTree(place("copy")), expected), []);
      const [link, shared, copy] = [afterLink - before, afterReflink - afterLink, afterCopy - afterReflink];
      process.stderr.write(`${type}: link ${link}, reflink ${shared}, copy ${copy} bytes for ${linked.entries} names\n`);
      assert.ok(copy > 100_000_000);
      assert.ok(link < copy / 5 && shared < copy / 2, `link ${link}, reflink ${shared}, copy ${copy}`);
      assert.deepEqual(
        readdirSync(fs.path).filter((name) => name.startsWith(".shale")),
        [],
      );
    });
  }

  test("`materializeRootfs()` takes a mount point as destination, and leaves it empty when it fails", async () => {
    await using fs = await makeFileSystem("xfs");
    await using directory = await temporaryDirectory();
    await using store = await openStore(join(directory.path, "store"), { profile: "overlay" });
    await using image = await pullEntries(store, join(directory.path, "layout"), [
      { path: "", type: "directory", mode: 0o711, mtime: 7 },
      { path: "d/f", content: "x" },
    ]);
    await assert.rejects(materializeRootfs(image, fs.path, { mode: "link" }), (error) => ShaleError.is(error, "MODE_UNSUPPORTED"));
    assert.deepEqual(readdirSync(fs.path), []);
    await materializeRootfs(image, fs.path, { mode: "copy" });
    assert.deepEqual(readdirSync(fs.path), ["d"]);
    assert.equal(lstatSync(fs.path).mode & 0o7777, 0o711);
  });

  test("A hard-link group of more names than ext4 gives an inode goes on with another; no name is lost", async () => {
    await using fs = await makeFileSystem("ext4", ["-N", "400000"]);
    await using store = await openStore(join(fs.path, "store"), { profile: "overlay" });
    const links = Array.from({ length: 70_000 }, (_, index): TestEntry => ({
      path: `l/${index}`,
      type: "hardlink",
      target: "first",
      mtime: 5,
    }));
    await using image = await pullEntries(store, join(fs.path, "layout"), [{ path: "first", content: "x", mtime: 5 }, ...links]);
    await image.materialize();
    const roots = ["link", "copy"].map((mode) => join(fs.path, mode));
    await materializeRootfs(image, roots[0]!, { mode: "link" });
    await materializeRootfs(image, roots[1]!, { mode: "copy" });
    for (const root of [...image.layers, ...roots]) {
      const names = readdirSync(join(root, "l"));
      assert.equal(names.length, 70_000);
      const stats = names.map((name) => lstatSync(join(root, "l", name)));
      assert.ok(stats.every(({ size, mtimeMs }) => size === 1 && mtimeMs === 5000));
      const inodes = new Set(stats.map(({ ino }) => ino)).size;
      assert.ok(inodes >= 2 && inodes <= 4, `${inodes}`);
    }
  });

  test("A file whose inode has all the links that ext4 gives gets another in the next tree", async () => {
    await using fs = await makeFileSystem("ext4", ["-N", "200000"]);
    await using store = await openStore(join(fs.path, "store"), { profile: "overlay" });
    await using image = await pullEntries(store, join(fs.path, "layout"), [{ path: "file", content: "x", mode: 0o4755, mtime: 5 }]);
    const chunks = join(fs.path, "store/chunks");
    const [folder = ""] = readdirSync(chunks);
    const [chunk = ""] = readdirSync(join(chunks, folder));
    mkdirSync(join(fs.path, "trees-of-others"));
    for (let link = 1; link < 65_000; link++) linkSync(join(chunks, folder, chunk), join(fs.path, "trees-of-others", `${link}`));
    await image.materialize();
    const stat = lstatSync(join(image.layers[0]!, "file"));
    assert.deepEqual([stat.nlink, stat.mode & 0o7777, stat.mtimeMs, stat.size], [2, 0o4755, 5000, 1]);
    assert.equal(readdirSync(join(chunks, folder)).length, 2);
  });

  test("70,000 equal files, and 40,000 directories deep and wide, take time in proportion", async () => {
    await using directory = await temporaryDirectory();
    await using store = await openStore(join(directory.path, "store"), { profile: "overlay" });
    const equal = (count: number): TestEntry[] => Array.from({ length: count }, (_, index) => ({ path: `e/${index}`, content: "same" }));
    const nested = (count: number): TestEntry[] => {
      const deep = Array.from({ length: 100 }, (_, level) => `d${level}`).join("/");
      const wide = Array.from({ length: count - 100 }, (_, index) => (index % 2 === 0 ? `w/${index}` : `${deep}/${index}`));
      return wide.map((path) => ({ path, type: "directory" }));
    };
    for (const [kind, make, count] of [
      ["equal files", equal, 70_000],
      ["directories", nested, 40_000],
    ] as const) {
      const times: number[] = [];
      for (const share of [8, 1]) {
        const name = `${kind.replace(" ", "-")}-${share}`;
        await using image = await pullEntries(store, join(directory.path, name), make(count / share));
        const started = performance.now();
        const { entries } = await materializeRootfs(image, join(directory.path, `root-${name}`), { mode: "link" });
        times.push((performance.now() - started) / entries);
        assert.ok(entries > count / share);
      }
      process.stderr.write(`${kind}: ${times.map((time) => `${(time * 1000).toFixed(0)} µs a name`).join(", then ")}\n`);
      assert.ok(times[1]! < times[0]! * 4 + 0.2, `${kind}: ${times.join()} ms a name`);
    }
  });
});
