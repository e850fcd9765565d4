import assert from "node:assert/strict";
import { link, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { makeStoreDirectory } from "../../../tools/demo/choose-directory.ts";
import { diskUse } from "../../../tools/demo/disk-use.ts";
import { directoryEntries, distinct, entriesOnTheWay, runningLibraries } from "../../../tools/demo/host-files.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

test("entriesOnTheWay() has every symlink on the way and the file where it really is", async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, "usr/lib"), { recursive: true });
  await symlink("usr/lib", join(directory.path, "lib"));
  await symlink("libx.so.1.2", join(directory.path, "usr/lib/libx.so.1"));
  await writeFile(join(directory.path, "usr/lib/libx.so.1.2"), "code");
  const base = directory.path.slice(1);
  const entries = distinct(entriesOnTheWay(join(directory.path, "lib/libx.so.1")));
  assert.deepEqual(
    entries.filter(({ path }) => path.startsWith(`${base}/`)).map(({ path, type, target }) => [path.slice(base.length + 1), type, target]),
    [
      ["lib", "symlink", "usr/lib"],
      ["usr", "directory", undefined],
      ["usr/lib", "directory", undefined],
      ["usr/lib/libx.so.1", "symlink", "libx.so.1.2"],
      ["usr/lib/libx.so.1.2", undefined, undefined],
    ],
  );
  assert.equal(String(entries.at(-1)?.content), "code");
});

test("entriesOnTheWay() refuses a symlink that leads to itself", async () => {
  await using directory = await temporaryDirectory();
  await symlink("loop", join(directory.path, "loop"));
  assert.throws(() => entriesOnTheWay(join(directory.path, "loop")));
});

test("directoryEntries() has directories before what is in them", async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, "a/b"), { recursive: true });
  await writeFile(join(directory.path, "a/b/file"), "");
  const entries = directoryEntries(join(directory.path, "a"), "/app");
  assert.deepEqual(
    entries.map(({ path }) => path),
    ["app", "app/b", "app/b/file"],
  );
});

test("runningLibraries() names files that are there", () => {
  for (const path of runningLibraries()) assert.ok(entriesOnTheWay(path).length > 0, path);
});

test("diskUse() counts an inode with two names once", async () => {
  await using directory = await temporaryDirectory();
  await writeFile(join(directory.path, "one"), Buffer.alloc(100_000, 1));
  const before = diskUse(directory.path);
  await link(join(directory.path, "one"), join(directory.path, "two"));
  assert.ok(before >= 100_000);
  assert.equal(diskUse(directory.path), before);
  assert.equal(diskUse(directory.path, directory.path), before);
});

test("makeStoreDirectory() goes on to the next place when one will not do", async () => {
  await using directory = await temporaryDirectory();
  const made = makeStoreDirectory([join(directory.path, "absent"), directory.path]);
  assert.ok(made.startsWith(`${directory.path}/`));
  assert.throws(() => makeStoreDirectory([join(directory.path, "absent")]));
});
