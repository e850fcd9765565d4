import assert from "node:assert/strict";
import { readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { CheckedFiles, writeChecked } from "../../src/store/checked-file.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** Longer than a file counts as just changed. */
const SETTLED_MS = 2100;

test("`CheckedFiles#read` tells what the path leads to now, however often it was read before", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "file");
  const files = new CheckedFiles();
  const codes: string[] = [];
  const read = (): unknown => files.read(path, (code) => codes.push(code));
  assert.equal(read(), undefined);
  writeChecked(path, { of: "one" }, directory.path);
  assert.deepEqual([read(), read()], [{ of: "one" }, { of: "one" }]);
  await delay(SETTLED_MS);
  assert.deepEqual([read(), read()], [{ of: "one" }, { of: "one" }]);
  writeChecked(path, { of: "two" }, directory.path);
  assert.deepEqual(read(), { of: "two" });
  await delay(SETTLED_MS);
  assert.deepEqual(read(), { of: "two" });
  rmSync(path);
  assert.equal(read(), undefined);
  assert.deepEqual(codes, []);
});

test("`CheckedFiles#read` sees damage done in place, with the size and time put back", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "file");
  const files = new CheckedFiles();
  writeChecked(path, { of: "one" }, directory.path);
  utimesSync(path, 1000, 1000);
  await delay(SETTLED_MS);
  assert.deepEqual(
    files.read(path, () => {}),
    { of: "one" },
  );
  writeFileSync(path, readFileSync(path, "latin1").replace("one", "two"));
  utimesSync(path, 1000, 1000);
  const codes: string[] = [];
  assert.equal(
    files.read(path, (code) => codes.push(code)),
    undefined,
  );
  assert.deepEqual(codes, ["STORE_DAMAGED"]);
});

test("`CheckedFiles#read` gives a value of its own each time", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "file");
  const files = new CheckedFiles();
  writeChecked(path, { list: [1] }, directory.path);
  await delay(SETTLED_MS);
  const read = (): { list: number[] } => files.read(path, () => {}) as { list: number[] };
  read().list.push(2);
  assert.deepEqual(read(), { list: [1] });
  read().list.push(3);
  assert.deepEqual(read(), { list: [1] });
});
