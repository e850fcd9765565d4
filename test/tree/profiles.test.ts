/** The form that each profile gives a tree; one store has them all. */
import assert from "node:assert/strict";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { toByteString, type ByteString } from "../../src/bytes.ts";
import { materializeRootfs, type Profile } from "../../src/index.ts";
import { getPathXattr, listPathXattrs } from "../../src/system/syscalls.ts";
import type { TestEntry } from "../../src/testing/index.ts";
import { startStore, type StoreHarness } from "../support/store-harness.ts";

const OVERRIDE = "user.containers.override_stat" as ByteString;

const LOWER: readonly TestEntry[] = [
  { path: "etc", type: "directory" },
  { path: "etc/gone", content: "gone" },
  { path: "etc/emptied", type: "directory" },
  { path: "etc/emptied/x", content: "x" },
];
const UPPER: readonly TestEntry[] = [
  { path: "etc/.wh.gone" },
  { path: "etc/emptied", type: "directory", mode: 0o550 },
  { path: "etc/emptied/.wh..wh..opq" },
  { path: "bin/su", content: "su", mode: 0o4711, uid: 3, gid: 4, mtime: 9, xattrs: { "user.note": "n", "user.overlay.opaque": "y" } },
  { path: "bin/link", type: "symlink", target: "su" },
  { path: "dev/null", type: "char", mode: 0o666, major: 1, minor: 3 },
  { path: "dev/disk", type: "block", mode: 0o660, gid: 6, major: 259, minor: 200_000 },
  { path: "dev/pipe", type: "fifo", mode: 0o600 },
];

async function trees(harness: StoreHarness, profile: Profile): Promise<string> {
  const { reference } = await harness.pushEntries("profiles/image", LOWER, UPPER);
  return (await harness.pull(reference, { profile })).layers[1]!;
}

function xattr(...path: readonly string[]): string | undefined {
  return getPathXattr(toByteString(join(...path)), OVERRIDE);
}

/** version 1, 3 zero bytes, uid, gid, mode, rdev: little-endian. */
function ociStat(uid: number, gid: number, mode: number, rdev: number): string {
  const bytes = Buffer.alloc(20);
  bytes[0] = 1;
  [uid, gid, mode, rdev].forEach((value, index) => bytes.writeUInt32LE(value, 4 + 4 * index));
  return bytes.toString("latin1");
}

function checkOverlay(tree: string): void {
  const su = lstatSync(join(tree, "bin/su"));
  assert.deepEqual([su.mode & 0o7777, su.uid, su.gid, su.mtimeMs], [0o4711, 3, 4, 9000]);
  assert.deepEqual(listPathXattrs(toByteString(join(tree, "bin/su"))).toSorted(), ["user.note", "user.overlay.overlay.opaque"]);
  const gone = lstatSync(join(tree, "etc/gone"));
  assert.ok(gone.isCharacterDevice() && gone.rdev === 0);
  assert.equal(getPathXattr(toByteString(join(tree, "etc/emptied")), "trusted.overlay.opaque" as ByteString), "y");
  assert.equal(lstatSync(join(tree, "dev/null")).rdev, 0x103);
  assert.ok(lstatSync(join(tree, "dev/disk")).isBlockDevice() && lstatSync(join(tree, "dev/pipe")).isFIFO());
}

function checkUserxattr(tree: string): void {
  const su = lstatSync(join(tree, "bin/su"));
  assert.deepEqual([su.mode & 0o7777, su.uid, su.mtimeMs], [0o711, process.geteuid?.(), 9000]);
  assert.equal(xattr(tree, "bin/su"), "3:4:4711:file");
  assert.deepEqual(listPathXattrs(toByteString(join(tree, "bin/su"))).toSorted(), [OVERRIDE, "user.note", "user.overlay.overlay.opaque"]);
  assert.equal(readlinkSync(join(tree, "bin/link")), "su");
  assert.deepEqual(listPathXattrs(toByteString(join(tree, "bin/link"))), []);
  assert.equal(xattr(tree, "etc/emptied"), "0:0:550:dir");
  assert.equal(lstatSync(join(tree, "etc/emptied")).mode & 0o7777, 0o750);
  assert.ok(lstatSync(join(tree, "etc/gone")).isCharacterDevice());
  assert.equal(getPathXattr(toByteString(join(tree, "etc/emptied")), "user.overlay.opaque" as ByteString), "y");
  assert.equal(xattr(tree, "dev/null"), "0:0:666:char-1-3");
  assert.equal(xattr(tree, "dev/disk"), "0:6:660:block-259-200000");
  assert.equal(xattr(tree, "dev/pipe"), "0:0:600:pipe");
  for (const name of readdirSync(join(tree, "dev"))) assert.ok(lstatSync(join(tree, "dev", name)).isFile());
}

function checkOci(tree: string): void {
  const su = lstatSync(join(tree, "bin/su"));
  assert.deepEqual([su.mode & 0o7777, su.uid, su.mtimeMs], [0o600, process.geteuid?.(), 9000]);
  assert.equal(xattr(tree, "bin/su"), ociStat(3, 4, 0o104711, 0));
  assert.equal(readFileSync(join(tree, "bin/link"), "utf8"), "su");
  assert.equal(xattr(tree, "bin/link"), ociStat(0, 0, 0o120777, 0));
  assert.equal(lstatSync(join(tree, "etc/emptied")).mode & 0o7777, 0o700);
  assert.equal(xattr(tree, "etc/emptied"), ociStat(0, 0, 0o040550, 0));
  assert.deepEqual(readdirSync(join(tree, "etc")).toSorted(), [".wh.gone", "emptied"]);
  assert.deepEqual(readdirSync(join(tree, "etc/emptied")), [".wh..wh..opq"]);
  assert.equal(xattr(tree, "dev/null"), ociStat(0, 0, 0o020666, 0x103));
  assert.equal(xattr(tree, "dev/disk"), ociStat(0, 6, 0o060660, (259 << 8) | (200_000 & 0xff) | ((200_000 & 0xfff00) << 12)));
  assert.equal(xattr(tree, "dev/pipe"), ociStat(0, 0, 0o010600, 0));
}

const CHECKS = { overlay: checkOverlay, userxattr: checkUserxattr, oci: checkOci } as const;
const PROFILES = ["overlay", "userxattr", "oci"] as const;

for (const native of PROFILES) {
  test(`A store of the native profile ${native} serves all profiles at once, each in its exact form`, async () => {
    await using harness = await startStore({ store: { profile: native } });
    const made = new Map<Profile, string>();
    for (const profile of PROFILES) made.set(profile, await trees(harness, profile));
    for (const profile of PROFILES) CHECKS[profile](made.get(profile)!);
    assert.equal(new Set(made.values()).size, 3);
    for (const profile of PROFILES) {
      await harness.reopen();
      assert.equal(await trees(harness, profile), made.get(profile));
    }
    assert.equal((await harness.store()).profile, native);
  });
}

test("`materializeRootfs()` gives the form of the image's profile, without whiteouts", async () => {
  await using harness = await startStore();
  const { reference } = await harness.pushEntries("profiles/rootfs", LOWER, UPPER);
  for (const profile of PROFILES) {
    await using image = await (await harness.client()).pull(reference, { profile, materialize: "lazy" });
    for (const mode of ["link", "copy"] as const) {
      const root = join(dirname(harness.path), `${profile}-${mode}`);
      await materializeRootfs(image, root, { mode });
      assert.deepEqual(readdirSync(join(root, "etc")), ["emptied"]);
      assert.deepEqual(readdirSync(join(root, "etc/emptied")), []);
      const su = lstatSync(join(root, "bin/su"));
      assert.equal(su.mode & 0o7777, { overlay: 0o4711, userxattr: 0o711, oci: 0o600 }[profile]);
      assert.equal(xattr(root, "bin/su"), { overlay: undefined, userxattr: "3:4:4711:file", oci: ociStat(3, 4, 0o104711, 0) }[profile]);
      assert.equal(su.mtimeMs, 9000);
    }
    assert.equal((await image.stat("bin/su")).mode, 0o104711);
  }
});
