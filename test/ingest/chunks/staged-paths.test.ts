import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ByteString } from "../../../src/bytes.ts";
import { StagedPaths } from "../../../src/ingest/chunks/staged-paths.ts";
import { MadeInodes } from "../../../src/store/made-inodes.ts";
import type { TarEntry } from "../../../src/tar/entry.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const at = (path: string): TarEntry => ({ path: path as ByteString }) as TarEntry;

test("`StagedPaths` has places for files and directories, in directories that it makes", async () => {
  await using directory = await temporaryDirectory();
  const places = new StagedPaths(directory.path, new MadeInodes());
  assert.equal(places.file(at("./a//b/f"))?.path, join(directory.path, "a/b/f"));
  assert.ok(places.directory(at("c/")));
  assert.equal(places.file(at("f"))?.path, join(directory.path, "f"));
  assert.deepEqual(readdirSync(directory.path, { recursive: true }).sort(), ["a", "a/b", "c"]);
  assert.deepEqual(places.file(at("c/\xff"))?.path, Buffer.from(join(directory.path, "c/\xff"), "latin1"));
});

test("`StagedPaths` has none for names that mean something else, lead out, or are too long, and none behind a file", async () => {
  await using directory = await temporaryDirectory();
  const root = join(directory.path, "tree");
  mkdirSync(root);
  writeFileSync(join(root, "file"), "");
  const places = new StagedPaths(root, new MadeInodes());
  const long = Array.from({ length: 21 }, () => "x".repeat(200)).join("/");
  for (const path of ["../out", "a/../../out", ".wh.x", "d/.wh..wh..opq", "a\0b", "", "/", ".", "file/d/f", long])
    assert.equal(places.file(at(path)), undefined, path);
  assert.equal(places.directory(at(".")), false);
  assert.deepEqual(readdirSync(directory.path, { recursive: true }).sort(), ["tree", "tree/file"]);
});

test("`StagedPaths` makes no more directories than entries could name, however deep their paths are", async () => {
  await using directory = await temporaryDirectory();
  const places = new StagedPaths(directory.path, new MadeInodes());
  const deep = (number: number, levels: number): string => `${Array.from({ length: levels }, () => number).join("/")}/f`;
  assert.equal(places.file(at(deep(0, 900))), undefined);
  let found = 0;
  for (let number = 1; number <= 100; number++) if (places.file(at(deep(number, 50)))) found++;
  assert.ok(found > 10 && found < 30, `${found} files have places`);
  const made = readdirSync(directory.path, { recursive: true }).length;
  assert.ok(made <= 1300, `${made} directories were made for 100 files`);
});
