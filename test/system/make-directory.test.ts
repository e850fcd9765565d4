import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeDirectory } from "../../src/system/make-directory.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`makeDirectory()` makes a directory of its user alone, and those above it; one that is there stays", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "a/b/c");
  makeDirectory(path);
  const { ino } = statSync(path);
  makeDirectory(path);
  assert.deepEqual([statSync(path).mode & 0o7777, statSync(path).ino], [0o700, ino]);
});

test("`makeDirectory()` throws what the system says", async () => {
  await using directory = await temporaryDirectory();
  writeFileSync(join(directory.path, "file"), "");
  assert.throws(() => makeDirectory(join(directory.path, "file/below")), { code: "ENOTDIR" });
});
