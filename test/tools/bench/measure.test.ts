import assert from "node:assert/strict";
import { link, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { callsBetweenMarks, countCalls } from "../../../tools/bench/cached.ts";
import { withoutSpool } from "../../../tools/bench/context.ts";
import { emptyFiles, measureDisk } from "../../../tools/bench/disk.ts";
import { measure } from "../../../tools/bench/measure.ts";
import { parseOptions } from "../../../tools/bench/options.ts";
import { choosePeers } from "../../../tools/bench/peers.ts";
import { parseWritten } from "../../../tools/bench/processes.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { sampleOf } from "./sample-result.ts";

const TEN_MB = 10_000_000;

test("`measure()` counts time, memory and disk of all processes of a command", async () => {
  await using directory = await temporaryDirectory();
  const work = "let a = Buffer.alloc(100e6, 1); const end = Date.now() + 300; while (Date.now() < end) a[0] ^= 1";
  const script = `head -c ${TEN_MB} /dev/zero > "$DIR/file"; "$NODE" -e '${work}' | cat`;
  const environment = { DIR: directory.path, NODE: process.execPath };
  const sample = await measure({ script, environment, directory: directory.path, registries: [process.pid] });
  assert.ok(sample.wall >= 0.3, `${sample.wall} s`);
  assert.ok(sample.cpu >= 0.1, `${sample.cpu} s`);
  assert.ok(sample.peakRss >= 100e6, `${sample.peakRss} bytes`);
  assert.ok(sample.disk >= TEN_MB, `${sample.disk} bytes`);
  assert.equal(sample.inodes, 2);
  assert.equal(sample.names, 1);
});

test("`measure()` fails with what the command said, in a pipe too", async () => {
  await using directory = await temporaryDirectory();
  const command = { environment: {}, directory: directory.path, registries: [] };
  await assert.rejects(measure({ ...command, script: "echo the reason >&2; false" }), /the reason/);
  await assert.rejects(measure({ ...command, script: "false | cat" }));
});

test("`parseWritten()` takes off what was cancelled", () => {
  const io = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 600\ncancelled_write_bytes: 70\n";
  assert.deepEqual(parseWritten(io), { written: 530, cancelled: 70 });
});

test("`withoutSpool()` takes off what was written of the download, and what was cancelled only once", () => {
  const { written, spool } = withoutSpool({ ...sampleOf(1), written: 700, cancelled: 60 }, 165);
  assert.deepEqual({ written, spool }, { written: 595, spool: 105 });
  assert.equal(withoutSpool({ ...sampleOf(1), written: 700, cancelled: 170 }, 165).written, 700);
});

test("`measureDisk()` counts an inode once and each of its names", async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, "d"));
  await writeFile(join(directory.path, "d/a"), Buffer.alloc(100_000, 1));
  const before = measureDisk(directory.path);
  await link(join(directory.path, "d/a"), join(directory.path, "b"));
  await symlink("a", Buffer.concat([Buffer.from(`${directory.path}/`), Buffer.from([0xff])]));
  const { disk, inodes, names } = measureDisk(directory.path);
  assert.deepEqual({ inodes, names }, { inodes: before.inodes + 1, names: before.names + 2 });
  assert.ok(disk >= 100_000 && disk < before.disk + 100_000);
});

test("`callsBetweenMarks()` counts all threads' calls of each pull, and each call once", () => {
  const log = [
    '10 openat(AT_FDCWD, "before") = 3',
    '10 access("/bench-mark", F_OK) = -1 ENOENT (No such file or directory)',
    '10 openat(AT_FDCWD, "a", O_RDONLY <unfinished ...>',
    "11 futex(0x1, FUTEX_WAKE_PRIVATE, 1) = 1",
    "10 <... openat resumed>) = 4",
    '10 access("/bench-mark", F_OK) = -1 ENOENT (No such file or directory)',
    "10 close(4) = 0",
    '10 access("/bench-mark", F_OK) = -1 ENOENT (No such file or directory)',
    "10 exit_group(0) = ?",
  ].join("\n");
  assert.deepEqual(callsBetweenMarks(log), [2, 1]);
  assert.equal(countCalls(log), 8);
});

test("`choosePeers()` keeps a peer whose program is not there, and says so", async () => {
  const path = process.env["PATH"];
  process.env["PATH"] = "";
  try {
    const [shale, podman] = await choosePeers(["podman", "shale", "floor"]);
    assert.deepEqual([shale?.name, shale?.missing], ["shale", undefined]);
    assert.deepEqual([podman?.name, typeof podman?.missing], ["podman", "string"]);
  } finally {
    process.env["PATH"] = path;
  }
  await assert.rejects(choosePeers(["nobody"]), RangeError);
});

test("`parseOptions()` refuses what it does not know", () => {
  assert.deepEqual(parseOptions(["--images", "node,base"]).images, ["base", "node"]);
  assert.equal(parseOptions([]).rounds, 5);
  for (const args of [
    ["--rounds", "0"],
    ["--rounds", "x"],
    ["--images", "nothing"],
    ["--scenarios", "cold,x"],
  ])
    assert.throws(() => parseOptions(args), RangeError);
  assert.throws(() => parseOptions(["--what"]), TypeError);
});

test("`tools/bench/crate` pins the version that is compared", async () => {
  const lock = await readFile(new URL("../../../../tools/bench/crate/Cargo.lock", import.meta.url), "utf8");
  assert.match(lock, /name = "microsandbox-image"\nversion = "0\.3\.13"\n/);
});

test("`emptyFiles()` frees what files take, in whatever folder, and leaves the files", async () => {
  await using directory = await temporaryDirectory();
  await mkdir(join(directory.path, "d"));
  await writeFile(join(directory.path, "d/file"), Buffer.alloc(1_000_000, 1));
  await link(join(directory.path, "d/file"), join(directory.path, "d/again"));
  await symlink("/etc/hostname", join(directory.path, "link"));
  const before = measureDisk(directory.path);
  await emptyFiles(directory.path);
  const after = measureDisk(directory.path);
  assert.equal(after.names, before.names);
  assert.equal(after.inodes, before.inodes);
  assert.ok(after.disk <= before.disk - 1_000_000, `${after.disk} of ${before.disk} bytes are left`);
});
