import assert from "node:assert/strict";
import { lstatSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { linkIfAbsent } from "../../src/system/link-if-absent.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`linkIfAbsent()` gives a file a further name, and makes the directory for it", async () => {
  await using directory = await temporaryDirectory();
  const from = join(directory.path, "from");
  writeFileSync(from, "content");
  const to = join(directory.path, "new/to");
  assert.equal(linkIfAbsent(from, to), true);
  assert.equal(lstatSync(to).ino, lstatSync(from).ino);
});

test("`linkIfAbsent()` leaves what has the name already", async () => {
  await using directory = await temporaryDirectory();
  const [from, to] = [join(directory.path, "from"), join(directory.path, "to")];
  writeFileSync(from, "content");
  writeFileSync(to, "other");
  assert.equal(linkIfAbsent(Buffer.from(from), to), false);
  assert.equal(readFileSync(to, "utf8"), "other");
});

test("`linkIfAbsent()` tells of a file that is not there", async () => {
  await using directory = await temporaryDirectory();
  assert.throws(() => linkIfAbsent(join(directory.path, "from"), join(directory.path, "to")), { code: "ENOENT" });
});
