/** Reading an image without trees. */
import assert from "node:assert/strict";
import { readdirSync, rmSync, truncateSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ShaleError, type ErrorCode, type Image } from "../../src/index.ts";
import { layerFromTar, type TestEntry } from "../../src/testing/index.ts";
import { layer, startStore } from "../support/store-harness.ts";
import { END, paxHeader, rawEntry } from "../tar/raw-header.ts";
import { arbitraryStack } from "./arbitrary-stack.ts";
import { stackLayers, withLinks, type ModelFile } from "./layer-stack.ts";

const lazy = { materialize: "lazy" } as const;

const LAYERS: readonly (readonly TestEntry[])[] = [
  [
    { path: "etc", type: "directory", mode: 0o750, uid: 7, mtime: 500 },
    { path: "etc/passwd", content: "root\n", mtime: 1 },
    { path: "etc/gone", content: "gone" },
    { path: "etc/conf.d", type: "directory" },
    { path: "etc/conf.d/a", content: "a" },
    { path: "bin", type: "symlink", target: "usr/bin" },
    { path: "usr/bin/sh", content: "shell", mode: 0o4755 },
    { path: "usr/bin/dash", type: "hardlink", target: "usr/bin/sh", mode: 0o4755 },
    { path: "old", type: "directory" },
    { path: "old/inner", content: "inner" },
    { path: "null", type: "char", major: 1, minor: 3 },
    { path: "empty", content: "" },
  ],
  [
    { path: "etc/.wh.gone" },
    { path: "etc/new", content: "new" },
    { path: "etc/conf.d/.wh..wh..opq" },
    { path: "etc/conf.d/b", content: "b" },
    { path: "old", content: "now a file" },
    { path: "absolute", type: "symlink", target: "/bin/sh" },
    { path: "climbing", type: "symlink", target: "../../../../etc/passwd" },
    { path: "loop", type: "symlink", target: "loop2" },
    { path: "loop2", type: "symlink", target: "loop" },
    { path: "dangling", type: "symlink", target: "nowhere/x" },
    { path: "big", content: "0123456789".repeat(100_000) },
  ],
];

async function pulled(layers = LAYERS): Promise<{ image: Image } & AsyncDisposable> {
  const harness = await startStore();
  const { reference } = await harness.pushEntries("files/image", ...layers);
  const image = await (await harness.client()).pull(reference, lazy);
  const dispose = async (): Promise<void> => {
    await image.close();
    await harness[Symbol.asyncDispose]();
  };
  return { image, [Symbol.asyncDispose]: dispose };
}

function rejects(work: Promise<unknown>, code: ErrorCode): Promise<void> {
  return assert.rejects(work, (error) => ShaleError.is(error, code));
}

describe("Image reads", () => {
  test("`image.stat()` and its kin show the merged view, symlinks followed inside the image", async () => {
    await using at = await pulled();
    const { image } = at;
    assert.equal((await image.readFile("etc/passwd")).toString(), "root\n");
    assert.equal((await image.readFile("/climbing")).toString(), "root\n");
    assert.equal((await image.readFile(Buffer.from("absolute"))).toString(), "shell");
    assert.equal((await image.readFile("empty")).length, 0);
    assert.equal((await image.realpath("absolute")).toString(), "/usr/bin/sh");
    assert.equal((await image.realpath("../bin/./../lib/../bin/".replace("lib/../", ""))).toString(), "/usr/bin");
    assert.equal((await image.readlink("absolute")).toString(), "/bin/sh");
    const etc = await image.stat("etc");
    assert.deepEqual([etc.kind, etc.mode, etc.uid, etc.mtime], ["directory", 0o040750, 7, 500]);
    assert.deepEqual(
      (await image.readdir("etc")).map(({ name, kind }) => `${name} ${kind}`),
      ["conf.d directory", "new file", "passwd file"],
    );
    assert.deepEqual(
      (await image.readdir("etc/conf.d")).map(({ name }) => name),
      ["b"],
    );
    assert.equal((await image.lstat("bin")).kind, "symlink");
    assert.equal((await image.lstat("bin/")).kind, "directory");
    const device = await image.stat("null");
    assert.deepEqual([device.kind, device.deviceMajor, device.deviceMinor], ["char", 1, 3]);
    assert.equal((await image.stat("usr/bin/sh")).inode, (await image.stat("bin/dash")).inode);
    assert.notEqual((await image.stat("usr/bin/sh")).inode, (await image.stat("etc/passwd")).inode);
    assert.deepEqual((await image.readdir("/")).map(({ name }) => name).includes("old"), true);
  });

  test("`image.stat()` and its kin fail with a code for what is not there, of another kind, or a loop", async () => {
    await using at = await pulled();
    const { image } = at;
    for (const path of ["etc/gone", "nowhere", "etc/conf.d/a", "dangling", "bin/bash", "etc/.wh.gone"])
      await rejects(image.stat(path), "PATH_NOT_FOUND");
    for (const path of ["old/inner", "etc/passwd/", "etc/passwd/.."]) await rejects(image.stat(path), "PATH_WRONG_KIND");
    await rejects(image.stat("loop"), "PATH_LOOP");
    await rejects(image.readFile("etc"), "PATH_WRONG_KIND");
    await rejects(image.readFile("null"), "PATH_WRONG_KIND");
    await rejects(image.readdir("etc/passwd"), "PATH_WRONG_KIND");
    await rejects(image.readlink("etc/passwd"), "PATH_WRONG_KIND");
    await rejects(buffer(image.createReadStream("nowhere")), "PATH_NOT_FOUND");
    assert.equal((await image.lstat("dangling")).kind, "symlink");
  });

  test("`image.createReadStream()` gives a range of a file in pieces", async () => {
    await using at = await pulled();
    const pieces: Buffer[] = [];
    for await (const piece of at.image.createReadStream("big", { start: 5, end: 600_004 })) pieces.push(piece as Buffer);
    assert.ok(pieces.length > 1);
    assert.equal(Buffer.concat(pieces).toString(), "0123456789".repeat(100_000).slice(5, 600_005));
    assert.equal((await buffer(at.image.createReadStream("empty"))).length, 0);
  });

  test("`image.readFile()` ends with the signal's reason", async () => {
    await using at = await pulled();
    const reason = new Error("enough");
    await assert.rejects(at.image.readFile("big", { signal: AbortSignal.abort(reason) }), reason);
  });

  test("Image reads work without trees, with an unindexed sidecar, and fail after `close()`", async () => {
    await using harness = await startStore();
    const { reference } = await harness.pushEntries("files/unindexed", ...LAYERS);
    const image = await (await harness.client()).pull(reference, { ...lazy, buildIndex: false });
    assert.deepEqual(readdirSync(harness.file("trees")), []);
    assert.equal((await image.readFile("climbing")).toString(), "root\n");
    assert.equal((await image.readdir("etc")).length, 3);
    assert.deepEqual(readdirSync(harness.file("trees")), []);
    await image.close();
    await rejects(image.stat("etc"), "STORE_CLOSED");
    const again = await (await harness.client()).pull(reference, lazy);
    await harness.reopen();
    await rejects(again.stat("etc"), "STORE_CLOSED");
    await again.close();
  });

  test("Image reads take names of any bytes and tell extended attributes and times exactly", async () => {
    await using harness = await startStore();
    const tar = Buffer.concat([
      paxHeader([
        ["path", Buffer.from("caf\xe9", "latin1")],
        ["mtime", "-1.5"],
        ["SCHILY.xattr.user.note", Buffer.from([0, 255])],
      ]),
      rawEntry({ name: "x" }, "latin"),
      END,
    ]);
    const { reference } = harness.push("files/bytes", [layerFromTar(tar)]);
    await using image = await (await harness.client()).pull(reference, lazy);
    const name = Buffer.from("caf\xe9", "latin1");
    assert.equal((await image.readFile(name)).toString(), "latin");
    const stat = await image.stat(name);
    assert.deepEqual([stat.mtime, stat.mtimeNs], [-2, 500_000_000]);
    assert.deepEqual([...stat.xattrs], [["user.note", Buffer.from([0, 255])]]);
    assert.deepEqual(
      (await image.readdir("")).map(({ bytes }) => Buffer.from(bytes)),
      [name],
    );
    await rejects(image.stat("café"), "PATH_NOT_FOUND");
  });

  test("Image reads fail with a code when the store has lost content or a sidecar is damaged", async () => {
    await using harness = await startStore();
    const one = await layer([{ path: "file", content: "content" }]);
    const { reference } = harness.push("files/damaged", [one]);
    const image = await (await harness.client()).pull(reference, lazy);
    rmSync(harness.file("chunks"), { recursive: true });
    await rejects(image.readFile("file"), "STORE_DAMAGED");
    assert.equal((await image.stat("file")).size, 7);
    await image.close();
    const again = await (await harness.store()).image(reference, lazy);
    truncateSync(harness.file("layers", one.diffId.replace(":", "-"), "sidecar"), 300);
    await rejects(again!.stat("file"), "SIDECAR_INVALID");
    rmSync(harness.file("layers"), { recursive: true });
    await rejects(again!.stat("file"), "SIDECAR_INVALID");
    await again!.close();
  });
});

test("Image reads equal a model that applies one layer after the other", async () => {
  await using harness = await startStore();
  await fc.assert(
    fc.asyncProperty(arbitraryStack, async (stack) => {
      const { reference } = await harness.pushEntries("random/view", ...stack);
      await using image = await (await harness.client()).pull(reference, { ...lazy, pullPolicy: "always" });
      const expected = stackLayers(stack);
      const found: Parameters<typeof withLinks>[0][number][] = [];
      const todo = [""];
      for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
        const { kind, mode, uid, mtime, inode } = await image.lstat(path);
        const content = kind === "file" ? await image.readFile(path) : kind === "symlink" ? await image.readlink(path) : "";
        found.push([path, { kind: kind as ModelFile["kind"], mode: mode & 0o7777, uid, mtime, content: content.toString() }, inode]);
        if (kind === "directory") for (const { name } of await image.readdir(path)) todo.push(path === "" ? name : `${path}/${name}`);
      }
      assert.deepEqual(withLinks(found.toSorted()), new Map([...expected].toSorted()));
    }),
    { numRuns: 60 },
  );
});
