/** What was written before this boot is not trusted for its looks. */
import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { bootStart } from "../../src/store/boot-start.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { FileLock } from "../../src/system/file-lock.ts";
import { startStore } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`bootStart()` is the same for all of a boot, later in the next, and now while another process settles it", async () => {
  await using directory = await temporaryDirectory();
  const layout = new StoreLayout(directory.path);
  mkdirSync(layout.locks);
  const first = bootStart(layout, "boot-1");
  await sleep(20);
  assert.equal(bootStart(layout, "boot-1"), first);
  const second = bootStart(layout, "boot-2");
  assert.ok(second >= first + 20);
  await sleep(20);
  const lock = FileLock.try(layout.lock("boot"));
  assert.ok(lock);
  assert.ok(bootStart(layout, "boot-2") >= second + 20);
  lock.release();
  assert.equal(bootStart(layout, "boot-2"), second);
});

for (const damage of ["nonsense", "boot-x 99999999999999", ""]) {
  test(`\`bootStart()\` takes ${JSON.stringify(damage)} in its file for another boot`, async () => {
    await using directory = await temporaryDirectory();
    const layout = new StoreLayout(directory.path);
    mkdirSync(layout.locks);
    writeFileSync(layout.lock("boot"), damage);
    const before = Date.now();
    const since = bootStart(layout, "boot-x");
    assert.ok(since >= before && since <= Date.now());
    assert.equal(readFileSync(layout.lock("boot"), "utf8"), `boot-x ${since}\n`);
  });
}

test("A pull makes a chunk of an earlier boot anew that has its size and time, and not its content", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("old", [{ path: "file", content: "content", mtime: 5 }]);
  await harness.pull(reference);
  await harness.reopen();
  const shard = join(harness.file("chunks"), readdirSync(harness.file("chunks"))[0]!);
  const chunk = join(shard, readdirSync(shard)[0]!);
  writeFileSync(chunk, "\0\0\0\0\0\0\0");
  utimesSync(chunk, 5, 5);
  for (const name of ["layers", "trees", "images/records", "images/references"])
    for (const one of readdirSync(harness.file(name))) rmSync(harness.file(name, one), { recursive: true });
  writeFileSync(harness.file("locks/boot"), "another-boot 0\n");
  const before = lstatSync(chunk).ino;
  const { layers } = await harness.pull(reference);
  assert.equal(readFileSync(join(layers[0]!, "file"), "utf8"), "content");
  assert.notEqual(lstatSync(chunk).ino, before);
});
