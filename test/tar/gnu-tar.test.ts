/** Archives that GNU tar writes, read beside tar-stream, and beside the files that they were made of. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  closeSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { extract, type Header } from "tar-stream";
import type { TarEntry } from "../../src/tar/entry.ts";
import { measureEntry } from "../../src/tar/measure-entry.ts";
import { readEntry } from "../../src/tar/read-entry.ts";

const SECOND = 1_000_000_000n;
let directory = "";
const ROOT = "root";
const LONG = `${ROOT}/${"long-directory-name/".repeat(3)}${"f".repeat(120)}`;
const TYPES: Readonly<Record<string, string>> = {
  file: "file",
  "contiguous-file": "file",
  directory: "directory",
  symlink: "symlink",
  link: "hardlink",
  fifo: "fifo",
};

before(() => {
  directory = mkdtempSync(join(tmpdir(), "shale-tar-"));
  const at = (name: string): string => join(directory, ROOT, name);
  mkdirSync(at("sub/empty"), { recursive: true });
  writeFileSync(at("empty"), "");
  writeFileSync(at("block"), Buffer.alloc(512, "b"));
  writeFileSync(at("sub/odd"), Buffer.alloc(1300, "o"));
  chmodSync(at("sub/odd"), 0o4751);
  symlinkSync("../does/not/exist", at("sub/link"));
  linkSync(at("sub/odd"), at("sub/zz-same"));
  execFileSync("mkfifo", ["-m", "640", at("fifo")]);
  utimesSync(at("block"), 1, 1.25);
  utimesSync(at("empty"), new Date(-1500), new Date(-1500));
  lutimesSync(at("sub/link"), 5, 5.5);
  writeSparse(at("sparse"), 60);
});

after(() => {
  rmSync(directory, { recursive: true });
});

/** Every second 64 KiB is data, so that the map does not fit an old GNU header; it ends in a hole. */
function writeSparse(file: string, extents: number): void {
  const descriptor = openSync(file, "w");
  for (let i = 0; i < extents; i++) writeSync(descriptor, Buffer.alloc(4096, `${i}`), 0, 4096, i * 131_072 + 65_536);
  closeSync(descriptor);
  truncateSync(file, extents * 131_072 + 12_345);
}

function addLongNames(): void {
  const file = join(directory, LONG);
  mkdirSync(join(file, ".."), { recursive: true });
  writeFileSync(file, "long name");
  symlinkSync("t".repeat(150), join(directory, ROOT, "long-target"));
}

const tar = (...options: readonly string[]): Buffer =>
  execFileSync("tar", ["-C", directory, "-c", "--sort=name", "--numeric-owner", ...options, ROOT], { maxBuffer: 2 ** 28 });

function readAll(archive: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  for (let at = 0; ;) {
    const entry = readEntry(archive, at, archive.length, { final: true });
    const extent = measureEntry(archive, at, archive.length, { final: true });
    if (typeof entry === "string" || typeof extent === "string") {
      assert.equal(entry, "end");
      assert.equal(extent, "end");
      return entries;
    }
    assert.deepEqual(extent, { data: entry.data, end: entry.end, stored: entry.stored, size: entry.size });
    entries.push(entry);
    at = entry.end;
  }
}

function unpack(archive: Buffer, entry: TarEntry): Buffer {
  const content = Buffer.alloc(entry.size);
  let at = entry.data;
  for (const { offset, length } of entry.sparse ?? [{ offset: 0, length: entry.stored }]) {
    archive.copy(content, offset, at, at + length);
    at += length;
  }
  return content;
}

async function readWithTarStream(archive: Buffer): Promise<{ header: Header; content: Buffer }[]> {
  // V7 has no magic; the type declarations lag behind
  const options: object = { allowUnknownFormat: true };
  const reader = extract(options);
  const found: { header: Header; content: Buffer }[] = [];
  reader.end(archive);
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    found.push({ header: entry.header, content: Buffer.concat(chunks) });
  }
  return found;
}

/** The entry as lstat() sees the file that it was made of; names in these archives are ASCII. */
function assertIsFile(archive: Buffer, entry: TarEntry, time: "exact" | "floored" | "fixed"): void {
  const file = join(directory, entry.path);
  const stat = lstatSync(file, { bigint: true });
  assert.equal(entry.mode, Number(stat.mode & 0o7777n), entry.path);
  assert.deepEqual([entry.uid, entry.gid], [Number(stat.uid), Number(stat.gid)]);
  const mtime = BigInt(entry.mtime) * SECOND + BigInt(entry.mtimeNs);
  const floored = stat.mtimeNs - (((stat.mtimeNs % SECOND) + SECOND) % SECOND);
  assert.equal(mtime, { exact: stat.mtimeNs, floored, fixed: 77n * SECOND }[time], entry.path);
  if (entry.kind === "file") assert.ok(unpack(archive, entry).equals(readFileSync(file)), entry.path);
  if (entry.kind === "symlink") assert.equal(entry.linkPath, readlinkSync(file));
  if (entry.kind === "directory") assert.ok(stat.isDirectory());
  if (entry.kind === "fifo") assert.ok(stat.isFIFO());
  if (entry.kind === "hardlink") assert.equal(lstatSync(join(directory, entry.linkPath), { bigint: true }).ino, stat.ino);
}

async function assertAgrees(archive: Buffer): Promise<void> {
  const entries = readAll(archive);
  const others = await readWithTarStream(archive);
  assert.ok(entries.length >= 9);
  assert.deepEqual(
    entries.map(({ path, kind, mode, uid, gid, size }) => ({ path: path.replace(/\/$/, ""), kind, mode, uid, gid, size })),
    others.map(({ header: { name, type, mode, uid, gid, size } }) => ({
      path: name.replace(/\/$/, ""),
      kind: TYPES[type ?? ""],
      mode,
      uid,
      gid,
      size: type === "file" ? size : 0,
    })),
  );
  for (const [i, { header, content }] of others.entries()) {
    const entry = entries[i]!;
    assert.equal(entry.linkPath, header.linkname ?? "", entry.path);
    assert.ok(unpack(archive, entry).equals(content), entry.path);
  }
}

describe("readEntry() and what GNU tar writes", () => {
  for (const format of ["v7", "oldgnu", "gnu", "ustar", "posix"]) {
    // V7 knows no fifos; neither it nor USTAR can tell a time before 1970
    const options = [`--format=${format}`, ...(format === "v7" ? ["--exclude=fifo"] : [])];
    const isFixed = format === "v7" || format === "ustar";

    test(`\`readEntry()\` agrees with tar-stream on the ${format} format`, async () => {
      await assertAgrees(tar(...options, "--mtime=@77"));
    });

    test(`\`readEntry()\` gives back the files of the ${format} format`, () => {
      const archive = tar(...options, ...(isFixed ? ["--mtime=@77"] : []));
      const entries = readAll(archive);
      assert.equal(new Set(entries.map(({ kind }) => kind)).size, format === "v7" ? 4 : 5);
      for (const entry of entries) assertIsFile(archive, entry, isFixed ? "fixed" : format === "posix" ? "exact" : "floored");
    });
  }

  for (const options of [
    ["gnu"],
    ["oldgnu"],
    ["posix", "--sparse-version=0.0"],
    ["posix", "--sparse-version=0.1"],
    ["posix", "--sparse-version=1.0"],
  ]) {
    const [format, ...rest] = options;
    test(`\`readEntry()\` unpacks sparse files of tar --format=${options.join(" ")}`, () => {
      const archive = tar("--sparse", `--format=${format}`, ...rest);
      const entries = readAll(archive);
      const sparse = entries.find(({ path }) => path === `${ROOT}/sparse`);
      assert.equal(sparse?.sparse?.length, 60);
      assert.equal(sparse.stored, 60 * 4096);
      for (const entry of entries) assertIsFile(archive, entry, format === "posix" ? "exact" : "floored");
    });
  }

  test("`readEntry()` reads long names and link targets of the gnu and posix formats", async () => {
    addLongNames();
    for (const format of ["gnu", "posix"]) {
      await assertAgrees(tar(`--format=${format}`, "--mtime=@77"));
      const archive = tar(`--format=${format}`);
      const entries = readAll(archive);
      assert.ok(entries.some(({ path }) => path === LONG));
      assert.ok(entries.some(({ linkPath }) => linkPath.length === 150));
      for (const entry of entries) assertIsFile(archive, entry, format === "posix" ? "exact" : "floored");
    }
  });

  test("`readEntry()` reads xattrs and large ids that tar records in PAX headers", () => {
    const archive = tar("--format=posix", "--pax-option=SCHILY.xattr.user.note:=some text", "--owner=:3000000", "--group=:4000000");
    for (const { uid, gid, xattrs } of readAll(archive)) {
      assert.deepEqual([uid, gid, xattrs], [3_000_000, 4_000_000, [{ name: "user.note", value: "some text" }]]);
    }
    for (const { uid, gid } of readAll(tar("--format=gnu", "--owner=:3000000", "--group=:4000000"))) {
      assert.deepEqual([uid, gid], [3_000_000, 4_000_000]);
    }
  });

  test("`readEntry()` ignores the global header and the volume label that tar writes", () => {
    const [global, ...entries] = readAll(tar("--format=posix", "--pax-option=comment=hello"));
    assert.equal(global?.kind, "ignored");
    assert.ok(entries.every(({ kind }) => kind !== "ignored"));
    const [label, ...rest] = readAll(tar("--format=gnu", "--label=backup"));
    assert.deepEqual([label?.kind, label?.path], ["ignored", "backup"]);
    assert.equal(rest.length, entries.length);
  });
});
