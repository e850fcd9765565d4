/** Attacks on the store itself: permissions for other users, planted links, and files that another program changed. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore, ShaleError } from "../../src/index.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const FILE = { path: "bin/tool", content: "#!/bin/true\n", mode: 0o755, mtime: 1_000_000_000 };

const SHARED: readonly { name: string; share: (path: string) => void }[] = [
  { name: "belongs to another user", share: (path) => chownSync(path, 12_345, 12_345) },
  ...[0o755, 0o770, 0o702, 0o701, 0o777].map((mode) => ({
    name: `has mode 0${mode.toString(8)}`,
    share: (path: string) => chmodSync(path, mode),
  })),
];

for (const { name, share } of SHARED) {
  test(`\`openStore()\` fails with STORE_PERMISSIONS for a store that ${name}, new or not`, async () => {
    await using directory = await temporaryDirectory();
    const [used, empty] = [join(directory.path, "used"), join(directory.path, "empty")];
    await (await openStore(used)).close();
    mkdirSync(empty, { mode: 0o700 });
    for (const path of [used, empty]) {
      share(path);
      await assert.rejects(openStore(path), { code: "STORE_PERMISSIONS", detail: { path } });
    }
    assert.deepEqual(readdirSync(empty), []);
  });
}

/** Makes a closed store with an image, and a directory outside it that must not change. */
async function storeWithImage(): Promise<{ harness: StoreHarness; outside: string; tree: string; reference: string }> {
  const harness = await startStore();
  const { reference } = await harness.pushEntries("first/image", [FILE]);
  // so that no background sync is left
  const image = await harness.pull(reference, { durability: "barrier" });
  await harness.reopen();
  const outside = join(harness.path, "../outside");
  mkdirSync(outside);
  return { harness, outside, tree: image.layers[0]!, reference };
}

for (const name of ["chunks", "layers", "trees", "images", "images/records", "locks", "staging", "db"]) {
  test(`\`openStore()\` fails with STORE_DAMAGED for a store whose ${name} is a symlink, and does not follow it`, async () => {
    const { harness, outside } = await storeWithImage();
    await using _ = harness;
    renameSync(harness.file(name), `${outside}/moved`);
    symlinkSync(`${outside}/moved`, harness.file(name));
    const before = execFileSync("find", [outside, "-printf", "%p %i %s %T@\n"]);
    await assert.rejects(harness.store(), { code: "STORE_DAMAGED" });
    assert.deepEqual(execFileSync("find", [outside, "-printf", "%p %i %s %T@\n"]), before);
  });
}

test("`pull()` replaces a symlink in place of a tree or a layer, and does not touch its target", async () => {
  const { harness, outside, tree, reference } = await storeWithImage();
  await using _ = harness;
  const layer = harness.file("layers", readdirSync(harness.file("layers"))[0]!);
  for (const [index, place] of [tree, layer].entries()) {
    renameSync(place, `${outside}/${index}`);
    symlinkSync(`${outside}/${index}`, place);
  }
  const before = execFileSync("find", [outside, "-type", "f", "-printf", "%p %i %s %T@ %m\n"]);
  const image = await harness.pull(reference);
  assert.deepEqual(image.layers, [tree]);
  for (const place of [tree, layer]) assert.ok(lstatSync(place).isDirectory());
  assert.equal(readFileSync(join(tree, FILE.path), "utf8"), FILE.content);
  assert.deepEqual(execFileSync("find", [outside, "-type", "f", "-printf", "%p %i %s %T@ %m\n"]), before);
});

test("`pull()` fails with STORE_DAMAGED for a symlink in place of a lock, and neither creates nor changes its target", async () => {
  for (const target of ["present", "absent"]) {
    const { harness, outside, reference } = await storeWithImage();
    await using _ = harness;
    writeFileSync(`${outside}/present`, "host");
    for (const name of readdirSync(harness.file("locks"))) {
      rmSync(harness.file("locks", name));
      symlinkSync(`${outside}/${target}`, harness.file("locks", name));
    }
    await assert.rejects(harness.pull(reference, { force: true }), { code: "STORE_DAMAGED" });
    assert.deepEqual(readdirSync(outside), ["present"]);
    assert.equal(readFileSync(`${outside}/present`, "utf8"), "host");
  }
});

test("`pull()` fails with STORE_DAMAGED for a symlink in place of a directory in chunks/, and writes nothing there", async () => {
  const { harness, outside } = await storeWithImage();
  await using _ = harness;
  for (const name of readdirSync(harness.file("chunks"))) {
    renameSync(harness.file("chunks", name), `${outside}/${name}`);
    symlinkSync(`${outside}/${name}`, harness.file("chunks", name));
  }
  const before = execFileSync("find", [outside, "-printf", "%p %i %s %T@ %n\n"]);
  const { reference } = await harness.pushEntries("second/image", [FILE, { path: "more", content: "more" }]);
  await assert.rejects(harness.pull(reference), { code: "STORE_DAMAGED" });
  assert.deepEqual(execFileSync("find", [outside, "-printf", "%p %i %s %T@ %n\n"]), before);
});

const TAMPERED: readonly { name: string; tamper: (path: string) => void }[] = [
  { name: "other bytes of the same length", tamper: (path) => writeFileSync(path, "#!/bin/evil\n", { flag: "r+" }) },
  { name: "more bytes", tamper: (path) => appendFileSync(path, "rm -rf /\n") },
  { name: "a wrong mode", tamper: (path) => chmodSync(path, 0o4755) },
  { name: "a wrong owner", tamper: (path) => chownSync(path, 12_345, 12_345) },
  { name: "a wrong mtime", tamper: (path) => utimesSync(path, 5, 5) },
  { name: "a symlink in its place", tamper: (path) => (rmSync(path), symlinkSync("/etc/passwd", path)) },
  { name: "a FIFO in its place", tamper: (path) => (rmSync(path), execFileSync("mkfifo", [path])) },
];

for (const { name, tamper } of TAMPERED) {
  test(`\`pull()\` catches a link source with ${name} before it is linked again, in this boot and for any image`, async () => {
    const { harness, tree } = await storeWithImage();
    await using _ = harness;
    const { ino } = lstatSync(join(tree, FILE.path));
    const chunk = harness.list().find((line) => line.startsWith("chunks/") && line.endsWith(` ${ino}`))!;
    tamper(harness.file(chunk.slice(0, chunk.lastIndexOf(" "))));
    // first the same file in another layer, whose ingest finds the inode; then a tree that is made again from the sidecar alone
    const second = await harness.pushEntries("second/image", [
      { path: "other", content: "1" },
      { ...FILE, path: "again" },
    ]);
    const shared = await harness.pull(second.reference);
    rmSync(tree, { recursive: true });
    const again = await harness.pull((await harness.pushEntries("first/image", [FILE])).reference);
    for (const path of [join(shared.layers[0]!, "again"), join(again.layers[0]!, FILE.path)]) {
      const stat = lstatSync(path);
      assert.ok(stat.isFile());
      assert.equal(readFileSync(path, "utf8"), FILE.content);
      assert.deepEqual([stat.mode & 0o7777, stat.uid, stat.mtimeMs], [FILE.mode, 0, FILE.mtime * 1000]);
    }
  });
}

for (const { name, tamper } of TAMPERED) {
  test(`\`materialize()\` from the store alone repairs or refuses a link source with ${name}`, async () => {
    const { harness, tree, reference } = await storeWithImage();
    await using _ = harness;
    const chunk = harness.list().find((line) => line.startsWith("chunks/") && line.endsWith(` ${lstatSync(join(tree, FILE.path)).ino}`))!;
    tamper(harness.file(chunk.slice(0, chunk.lastIndexOf(" "))));
    rmSync(tree, { recursive: true });
    const offline = await harness.watch(reference, { pullPolicy: "never" });
    if (offline.image === undefined) assert.ok(ShaleError.is(offline.error, "STORE_DAMAGED"), String(offline.error));
    const image = offline.image ?? (await harness.pull(reference));
    assert.equal(readFileSync(join(image.layers[0]!, FILE.path), "utf8"), FILE.content);
    assert.equal(lstatSync(join(image.layers[0]!, FILE.path)).mode & 0o7777, FILE.mode);
  });
}
