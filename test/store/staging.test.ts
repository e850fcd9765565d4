import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openStore } from "../../src/index.ts";
import { initializeStore } from "../../src/store/initialize.ts";
import { StoreLayout } from "../../src/store/layout.ts";
import { Staging } from "../../src/store/staging.ts";
import { readSuperblock } from "../../src/store/superblock.ts";
import { durableWrite } from "../../src/system/durable-write.ts";
import { run } from "../support/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

test("`Staging.create()` sweeps the directories of the dead and spares those of the living, its own process's too", async () => {
  await using root = await temporaryDirectory();
  const layout = new StoreLayout(root.path);
  mkdirSync(layout.staging);
  const alive = Staging.create(layout);
  writeFileSync(alive.fresh("file"), "");
  for (const name of ["work-dead", "work-locked-never", "replaced-tree"]) mkdirSync(join(layout.staging, name));
  writeFileSync(join(layout.staging, "work-dead/owner"), "");
  writeFileSync(join(layout.staging, "work-dead/half a chunk"), "");
  const second = Staging.create(layout);
  assert.ok(existsSync(join(alive.directory, "file-0")));
  assert.deepEqual(
    readdirSync(layout.staging).filter((name) => !/^work-[0-9a-f]{16}$/.test(name)),
    ["replaced-tree"],
  );
  second.close();
  second.close();
  alive.close();
  assert.deepEqual(readdirSync(layout.staging), ["replaced-tree"]);
});

test("`Staging.create()` in processes that sweep at the same time fails in none of them, and nothing is left", async () => {
  await using root = await temporaryDirectory();
  const layout = new StoreLayout(root.path);
  mkdirSync(layout.staging);
  const program = `
    import { mkdirSync, writeFileSync } from "node:fs";
    import { StoreLayout } from ${JSON.stringify(new URL("../../src/store/layout.js", import.meta.url))};
    import { Staging } from ${JSON.stringify(new URL("../../src/store/staging.js", import.meta.url))};
    for (let round = 0; round < 200; round++) {
      const staging = Staging.create(new StoreLayout(process.argv[1]));
      mkdirSync(staging.fresh("tree"));
      writeFileSync(staging.fresh("file"), "");
      staging.close();
    }`;
  const children = [1, 2, 3].map(() => run(process.execPath, ["--input-type=module", "-e", program, root.path]));
  await Promise.all(children);
  assert.deepEqual(readdirSync(layout.staging), []);
});

test("`Staging.create()` removes small files that a durable write left an hour ago, and no younger ones", async () => {
  await using root = await temporaryDirectory();
  const layout = new StoreLayout(root.path);
  mkdirSync(layout.staging);
  for (const name of ["old", "young"]) writeFileSync(join(layout.staging, name), "");
  utimesSync(join(layout.staging, "old"), 1, 1);
  Staging.create(layout).close();
  assert.deepEqual(readdirSync(layout.staging), ["young"]);
});

test("`durableWrite()` replaces as a whole and leaves nothing behind, not even when it fails", async () => {
  await using root = await temporaryDirectory();
  const staging = join(root.path, "staging");
  mkdirSync(staging);
  durableWrite(join(root.path, "f"), "one", staging);
  durableWrite(join(root.path, "f"), Buffer.alloc(100_000, "two"), staging);
  mkdirSync(join(root.path, "d/not-empty"), { recursive: true });
  assert.throws(() => durableWrite(join(root.path, "d"), "three", staging), { code: "EISDIR" });
  assert.throws(() => durableWrite(join(root.path, "no/such/f"), "three", staging), { code: "ENOENT" });
  assert.deepEqual(readdirSync(staging), []);
  assert.deepEqual(readdirSync(root.path).sort(), ["d", "f", "staging"]);
});

test("`openStore()` makes a store of what an interrupted initialization left", async () => {
  await using root = await temporaryDirectory();
  const path = join(root.path, "store");
  for (const name of ["chunks", "locks", "staging/probe-profile"]) mkdirSync(join(path, name), { recursive: true, mode: 0o700 });
  for (const name of ["CACHEDIR.TAG", "staging/Probe", "staging/Probe-link", "staging/store.json-123", "staging/probe-profile/device"])
    writeFileSync(join(path, name), "");
  const { chmodSync } = await import("node:fs");
  chmodSync(path, 0o700);
  await (await openStore(path)).close();
  assert.deepEqual(readdirSync(join(path, "staging")), []);
});

test("`openStore()` of one new directory by many at once makes one store", async () => {
  await using root = await temporaryDirectory();
  const path = join(root.path, "store");
  const stores = await Promise.all(Array.from({ length: 8 }, () => openStore(path)));
  assert.equal(new Set(stores.map((store) => store.profile)).size, 1);
  await Promise.all(stores.map((store) => store.close()));
});

test("`initializeStore()` takes a store that another process has completed since it was looked for", async () => {
  await using root = await temporaryDirectory();
  const path = join(root.path, "store");
  const store = await openStore(path, { profile: "userxattr" });
  const layout = new StoreLayout(store.path);
  assert.deepEqual(await initializeStore(layout, undefined), readSuperblock(layout.superblock, layout.root));
  await store.close();
});
