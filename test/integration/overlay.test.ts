/** Layers that images have and kernels mind: listed twice, empty, opaque, for another user. */
import assert from "node:assert/strict";
import { chownSync, mkdirSync, readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { TestEntry } from "../../src/testing/index.ts";
import { mountOverlay } from "../support/overlay-mount.ts";
import { pullInChild } from "../support/start-child.ts";
import { layer, startStore } from "../support/store-harness.ts";
import { run } from "../support/run.ts";

test("An image that lists a layer twice, or several empty ones, is mounted from each distinct directory's topmost place", async () => {
  await using harness = await startStore();
  const [a, b, empty] = [
    await layer([{ path: "a", content: "1" }]),
    await layer([{ path: ".wh.a" }, { path: "b", content: "2" }]),
    await layer([]),
  ];
  const { reference } = harness.push("twice/listed", [empty, a, empty, b, a, empty]);
  const { layers } = await harness.pull(reference);
  assert.equal(layers.length, 6);
  // the kernel refuses one directory at two places (ELOOP); what is below its topmost place is hidden by it anyway
  await assert.rejects(mountOverlay(layers));
  const distinct = [...new Set(layers.toReversed())].reverse();
  await using merged = await mountOverlay(distinct);
  assert.deepEqual((await readdir(merged.root)).sort(), ["a", "b"]);
});

const BASE: readonly TestEntry[] = [
  { path: "gone", content: "x" },
  { path: "kept", content: "x" },
  { path: "opaque", type: "directory", mode: 0o711, uid: 7 },
  { path: "opaque/hidden", content: "x" },
  { path: "implied", type: "directory", mode: 0o2750, uid: 12, gid: 34, xattrs: { "user.kind": "sediment" } },
  { path: "implied/below", type: "directory", mode: 0o1777 },
  { path: "replaced/by/file", content: "x" },
  { path: "file", content: "x" },
];
const UPPER: readonly TestEntry[] = [
  { path: ".wh.gone" },
  { path: "opaque/.wh..wh..opq" },
  { path: "opaque/new", content: "y" },
  { path: "implied/below/new", content: "y" },
  { path: "replaced", content: "y" },
  { path: "file/in/it", content: "y" },
  { path: "trusted", content: "y", xattrs: { "trusted.overlay.opaque": "y", "user.overlay.whiteout": "" } },
  // no file system object but a whiteout has these numbers: in an overlay it is one
  { path: "null", type: "char", major: 1, minor: 3 },
];

test("Whiteouts, opaque and implied directories show in the mounted overlay as the image means them", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("white/outs", BASE, UPPER);
  await using merged = await mountOverlay((await harness.pull(reference)).layers);
  const lines = (await run("find", [merged.root, "-mindepth", "1", "-printf", "%P %y %m %U:%G\n"])).toString().trim().split("\n").sort();
  assert.deepEqual(
    lines.filter((line) => !line.startsWith("trusted")),
    [
      "file d 755 0:0",
      "file/in d 755 0:0",
      "file/in/it f 644 0:0",
      "implied d 2750 12:34",
      "implied/below d 1777 0:0",
      "implied/below/new f 644 0:0",
      "kept f 644 0:0",
      "null c 644 0:0",
      "opaque d 711 7:0",
      "opaque/new f 644 0:0",
      "replaced f 644 0:0",
    ],
  );
  assert.equal((await run("getfattr", ["-n", "user.kind", "--only-values", join(merged.root, "implied")])).toString(), "sediment");
  // an image's own overlay attributes are no markers of ours: they are escaped, and the kernel shows them as they were
  assert.equal((await run("getfattr", ["-n", "trusted.overlay.opaque", "--only-values", join(merged.root, "trusted")])).toString(), "y");
});

test("Another user is refused: a store that is not theirs, a parent they cannot write, and made welcome in a directory of their own", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("for/nobody", [
    { path: "f", content: "x", mode: 0o4755, uid: 5 },
    { path: "d", type: "directory", mode: 0 },
  ]);
  await harness.pull(reference);
  const nobody = { uid: 65_534, gid: 65_534 };
  const parent = join(harness.path, "..");
  await run("chmod", ["755", parent]);
  const result = async (store: string): Promise<string | undefined> =>
    (await pullInChild({ store, references: [reference], profile: "default" }, nobody)).error?.code;
  assert.ok(["STORE_PERMISSIONS", "STORE_UNWRITABLE"].includes((await result(harness.path)) ?? ""));
  assert.equal(await result(join(parent, "new")), "STORE_UNWRITABLE");
  mkdirSync(join(parent, "own"));
  chownSync(join(parent, "own"), nobody.uid, nobody.gid);
  assert.equal(await result(join(parent, "own/store")), undefined);
  const superblock = JSON.parse(readFileSync(join(parent, "own/store/store.json"), "utf8")) as { profile: string };
  assert.equal(superblock.profile, "userxattr");
});
