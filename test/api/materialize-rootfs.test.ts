/** The merged root file system in a directory of the caller's. */
import assert from "node:assert/strict";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import { materializeRootfs, ShaleError, type ErrorCode, type Image, type MaterializeRootfsOptions } from "../../src/index.ts";
import type { TestEntry } from "../../src/testing/index.ts";
import { layer, startStore, type StoreHarness } from "../support/store-harness.ts";
import { arbitraryStack } from "../view/arbitrary-stack.ts";
import { stackLayers, withLinks, type ModelFile } from "../view/layer-stack.ts";

const MODES: readonly MaterializeRootfsOptions[] = [{ mode: "link" }, { mode: "copy" }, { mode: "reflink", fallback: "copy" }];

/** On Linux, a file system of its own almost everywhere. */
const OTHER_FILE_SYSTEM = "/dev/shm";

async function pull(harness: StoreHarness, ...layers: readonly (readonly TestEntry[])[]): Promise<Image> {
  const { reference } = await harness.pushEntries("rootfs/image", ...layers);
  return (await harness.client()).pull(reference, { materialize: "lazy", pullPolicy: "always" });
}

function place(harness: StoreHarness, name = "rootfs"): string {
  return join(dirname(harness.path), name);
}

/** What is on disk, in the words of the model. */
function readTree(root: string): Map<string, ModelFile> {
  const found: Parameters<typeof withLinks>[0][number][] = [];
  const todo = [""];
  for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
    const at = join(root, path);
    const { mode, uid, mtimeMs, ino } = lstatSync(at);
    const kind = (mode & 0o170000) === 0o040000 ? "directory" : (mode & 0o170000) === 0o120000 ? "symlink" : "file";
    const content = kind === "file" ? readFileSync(at, "utf8") : kind === "symlink" ? readlinkSync(at) : "";
    found.push([path, { kind, mode: mode & 0o7777, uid, mtime: mtimeMs / 1000, content }, ino]);
    if (kind === "directory") for (const name of readdirSync(at)) todo.push(join(path, name));
  }
  return withLinks(found);
}

async function diffIds(stack: readonly (readonly TestEntry[])[]): Promise<readonly string[]> {
  return Promise.all(stack.map(async (entries) => (await layer(entries)).diffId));
}

function rejects(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  return assert.rejects(work, (error) => ShaleError.is(error, code));
}

describe("materializeRootfs", () => {
  test("`materializeRootfs()` equals a model that applies one layer after the other, in every mode", async () => {
    await using harness = await startStore();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryStack, fc.constantFrom(...MODES), async (stack, options) => {
        await using image = await pull(harness, ...stack);
        const root = place(harness, `r${run++}`);
        const result = await materializeRootfs(image, root, options);
        const expected = stackLayers(stack);
        assert.deepEqual(readTree(root), expected);
        assert.equal(result.entries, expected.size);
        // a layer that is exported to its end is the one that came, byte for byte: its digest is checked
        for (const diffId of await diffIds(stack)) for await (const piece of (await harness.store()).exportLayer(diffId)) assert.ok(piece);
        rmSync(root, { recursive: true });
      }),
      { numRuns: 40 },
    );
    assert.deepEqual(harness.staged(), []);
  });

  test("`materializeRootfs()` gives implied directories the time and attributes of the nearest layer that names them", async () => {
    await using harness = await startStore();
    await using image = await pull(
      harness,
      [
        { path: "a", type: "directory", mode: 0o2750, uid: 5, mtime: 100 },
        { path: "a/b", type: "directory", mode: 0o700, mtime: 200 },
      ],
      [{ path: "a/b/c", content: "c" }],
      [{ path: "a/b/c/d", content: "d" }, { path: "a/.wh.x" }],
    );
    await materializeRootfs(image, place(harness), { mode: "link" });
    const [a, b, c] = ["a", "a/b", "a/b/c"].map((path) => lstatSync(join(place(harness), path)));
    assert.deepEqual([a!.mode & 0o7777, a!.uid, a!.mtimeMs], [0o2750, 5, 100_000]);
    assert.deepEqual([b!.mode & 0o7777, b!.uid, b!.mtimeMs], [0o700, 0, 200_000]);
    assert.deepEqual([c!.mode & 0o7777, c!.isDirectory(), c!.mtimeMs], [0o755, true, 0]);
  });

  for (const options of MODES) {
    test(`\`materializeRootfs()\` keeps the image's hard links, and no others (${options.mode})`, async () => {
      await using harness = await startStore();
      await using image = await pull(
        harness,
        [
          { path: "first", content: "linked" },
          { path: "second", type: "hardlink", target: "first" },
          { path: "third", type: "hardlink", target: "first" },
          { path: "equal", content: "same" },
          { path: "link", type: "symlink", target: "first" },
          { path: "link-too", type: "hardlink", target: "link" },
        ],
        [{ path: "equal-above", content: "same" }, { path: "equal-again", content: "same" }, { path: ".wh.first" }],
      );
      const result = await materializeRootfs(image, place(harness), options);
      const inode = (name: string): number => lstatSync(join(place(harness), name)).ino;
      assert.equal(inode("second"), inode("third"));
      assert.equal(inode("link"), inode("link-too"));
      assert.equal(existsSync(join(place(harness), "first")), false);
      assert.equal(new Set(["second", "equal", "equal-above", "equal-again"].map(inode)).size, 4);
      const source = lstatSync(join(place(harness), "equal")).nlink > 1;
      assert.equal(source, options.mode === "link");
      assert.equal(result[options.mode === "link" ? "linked" : result.reflinked > 0 ? "reflinked" : "copied"], 4);
    });
  }

  test("`materializeRootfs()` writes through no symlink of the image", async () => {
    await using harness = await startStore();
    const outside = place(harness, "outside");
    mkdirSync(outside);
    await using image = await pull(
      harness,
      [{ path: "escape", type: "symlink", target: outside }],
      [{ path: "escape/file", content: "x" }],
    );
    await materializeRootfs(image, place(harness), { mode: "copy" });
    assert.deepEqual(readdirSync(outside), []);
    assert.equal(readFileSync(join(place(harness), "escape/file"), "utf8"), "x");
  });

  test("`materializeRootfs()` fails with a code where links or reflinks are impossible, and leaves nothing", async () => {
    await using harness = await startStore();
    await using image = await pull(harness, [{ path: "d/file", content: "x" }]);
    const other = mkdtempSync(join(OTHER_FILE_SYSTEM, "shale-test-"));
    try {
      assert.notEqual(lstatSync(other).dev, lstatSync(harness.path).dev);
      const root = join(other, "rootfs");
      await rejects(materializeRootfs(image, root, { mode: "link" }), "MODE_UNSUPPORTED");
      await rejects(materializeRootfs(image, root, { mode: "reflink" }), "MODE_UNSUPPORTED");
      assert.deepEqual(readdirSync(other), []);
      const result = await materializeRootfs(image, root, { mode: "reflink", fallback: "copy" });
      assert.deepEqual([result.copied, result.reflinked, result.linked], [1, 0, 0]);
      assert.equal(readFileSync(join(root, "d/file"), "utf8"), "x");
    } finally {
      rmSync(other, { recursive: true });
    }
  });

  test("`materializeRootfs()` takes an absent or empty directory, and no other", async () => {
    await using harness = await startStore();
    await using image = await pull(harness, [{ path: "file", content: "x" }]);
    const [empty, full, file, link] = ["empty", "full", "file", "link"].map((name) => place(harness, name)) as [
      string,
      string,
      string,
      string,
    ];
    mkdirSync(empty);
    mkdirSync(full);
    writeFileSync(join(full, "kept"), "kept");
    writeFileSync(file, "");
    for (const bad of [full, file, harness.path, join(harness.path, "trees/x"), join(file, "x"), place(harness, "absent/child")])
      await rejects(materializeRootfs(image, bad, { mode: "link" }), "DESTINATION_UNUSABLE");
    assert.deepEqual(readdirSync(full), ["kept"]);
    symlinkSync(empty, link);
    assert.equal((await materializeRootfs(image, link, { mode: "link" })).path, empty);
    assert.deepEqual(readdirSync(empty), ["file"]);
    await assert.rejects(materializeRootfs(image, empty, { mode: "move" as "copy" }), TypeError);
    await assert.rejects(materializeRootfs(image, empty, { mode: "link", fallback: "copy" }), TypeError);
  });

  test("`materializeRootfs()` ends with the signal's reason or the store's damage, and leaves nothing", async () => {
    await using harness = await startStore();
    const entries = Array.from({ length: 9000 }, (_, index): TestEntry => ({ path: `d/${index}`, content: `${index}` }));
    await using image = await pull(harness, entries);
    const abort = new AbortController();
    const reason = new Error("enough");
    const seen: number[] = [];
    const onProgress = ({ entries: made, total }: { entries: number; total: number }): void => {
      assert.equal(total, 9002);
      seen.push(made);
      abort.abort(reason);
      throw new Error("a sink's fault is its own");
    };
    const before = readdirSync(dirname(harness.path));
    process.once("warning", () => undefined);
    await assert.rejects(materializeRootfs(image, place(harness), { mode: "link", signal: abort.signal, onProgress }), reason);
    assert.ok(seen.length > 0 && seen[0]! < 9002);
    assert.deepEqual(readdirSync(dirname(harness.path)), before);
    rmSync(harness.file("chunks"), { recursive: true });
    await rejects(materializeRootfs(image, place(harness), { mode: "link" }), "STORE_DAMAGED");
    await rejects(materializeRootfs(image, place(harness), { mode: "copy" }), "STORE_DAMAGED");
    assert.deepEqual(readdirSync(dirname(harness.path)), before);
    assert.deepEqual(harness.staged(), []);
  });
});
