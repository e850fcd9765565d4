import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { deleteDirectory } from "../../src/system/delete-directory.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`deleteDirectory()` removes names of every kind, those that are no text too, and follows no symlink", async () => {
  await using at = await temporaryDirectory();
  const [tree, outside] = [join(at.path, "tree"), join(at.path, "outside")];
  for (const path of [outside, tree, join(tree, "a"), join(tree, "a/b"), join(tree, "a/empty")]) mkdirSync(path);
  writeFileSync(join(outside, "kept"), "");
  symlinkSync(outside, join(tree, "a/link"));
  symlinkSync("../../../outside", join(tree, "a/b/up"));
  symlinkSync("nowhere", join(tree, "dangling"));
  const raw = Buffer.concat([Buffer.from(`${tree}/a/`), Buffer.from([0xff, 0x0a, 0xfe])]);
  mkdirSync(raw);
  writeFileSync(Buffer.concat([raw, Buffer.from("/\u00e9 \n")]), "");
  for (const step of deleteDirectory(tree)) assert.equal(step, undefined);
  assert.deepEqual(readdirSync(at.path), ["outside"]);
  assert.deepEqual(readdirSync(outside), ["kept"]);
});

test("`deleteDirectory()` of a symlink removes the symlink; of nothing, or what goes meanwhile, does nothing", async () => {
  await using at = await temporaryDirectory();
  const outside = join(at.path, "outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "kept"), "");
  symlinkSync(outside, join(at.path, "link"));
  assert.equal([...deleteDirectory(join(at.path, "link"))].length, 0);
  assert.equal([...deleteDirectory(join(at.path, "absent"))].length, 0);
  assert.deepEqual([readdirSync(at.path), readdirSync(outside)], [["outside"], ["kept"]]);
  mkdirSync(join(at.path, "tree"));
  for (const name of ["a", "b", "c"]) writeFileSync(join(at.path, "tree", name), "");
  const two = [deleteDirectory(join(at.path, "tree")), deleteDirectory(join(at.path, "tree"))];
  for (let left = 2; left > 0;) left = two.filter((deletion) => deletion.next().done !== true).length;
  assert.ok(!existsSync(join(at.path, "tree")));
});

test("`deleteDirectory()` removes directories that their owner may not list or change", async () => {
  await using at = await temporaryDirectory();
  const tree = join(at.path, "tree");
  chmodSync(at.path, 0o777);
  const modes = { closed: 0o000, "read-only": 0o555, "closed/below": 0o111 } as const;
  for (const path of [tree, ...Object.keys(modes).map((name) => join(tree, name))]) {
    mkdirSync(path);
    writeFileSync(join(path, "file"), "");
    chownSync(path, 65_534, 65_534);
  }
  for (const [name, mode] of Object.entries(modes).toReversed()) chmodSync(join(tree, name), mode);
  chmodSync(tree, 0o500);
  process.seteuid!(65_534);
  try {
    for (const step of deleteDirectory(tree)) assert.equal(step, undefined);
  } finally {
    process.seteuid!(0);
  }
  assert.ok(!existsSync(tree));
});
