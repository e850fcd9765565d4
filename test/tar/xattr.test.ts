import assert from "node:assert/strict";
import { test } from "node:test";
import type { TarEntry } from "../../src/tar/entry.ts";
import type { Xattr } from "../../format/entry.ts";
import { readEntry } from "../../src/tar/read-entry.ts";
import { paxHeader, rawHeader } from "./raw-header.ts";
import { refuses } from "./refuses.ts";

function xattrs(records: Parameters<typeof paxHeader>[0]): readonly Xattr[] {
  const buffer = Buffer.concat([paxHeader(records), rawHeader()]);
  return (readEntry(buffer, 0, buffer.length) as TarEntry).xattrs;
}

test("`readEntry()` keeps SCHILY xattrs byte for byte, sorted by name", () => {
  const capability = Buffer.of(1, 0, 0, 2, 0, 0xff, 0x0a, 0x3d);
  const found = xattrs([
    ["SCHILY.xattr.user.z", "x=y\n"],
    ["SCHILY.xattr.user.\xff", ""],
    ["SCHILY.xattr.security.capability", capability],
  ]);
  assert.deepEqual(found, [
    { name: "security.capability", value: capability.toString("latin1") },
    { name: "user.z", value: "x=y\n" },
    { name: "user.\xff", value: "" },
  ]);
});

test("`readEntry()` lets the last xattr of a name win", () => {
  assert.deepEqual(
    xattrs([
      ["SCHILY.xattr.user.a", "1"],
      ["SCHILY.xattr.user.a", "2"],
    ]),
    [{ name: "user.a", value: "2" }],
  );
  const first = paxHeader([["SCHILY.xattr.user.a", "1"]]);
  const buffer = Buffer.concat([first, paxHeader([["comment", "x"]]), rawHeader()]);
  assert.deepEqual((readEntry(buffer, 0, buffer.length) as TarEntry).xattrs, []);
});

test("`readEntry()` decodes LIBARCHIVE xattrs, and prefers SCHILY's form of the same name", () => {
  const found = xattrs([
    ["SCHILY.xattr.user.both", "plain"],
    ["LIBARCHIVE.xattr.user.both", "ZW5jb2RlZA"],
    ["LIBARCHIVE.xattr.user.%3D%ff%zz", "AP8="],
    ["LIBARCHIVE.xattr.user.empty", ""],
  ]);
  assert.deepEqual(
    found,
    [
      { name: "user.both", value: "plain" },
      { name: "user.empty", value: "" },
      { name: "user.=\xff%zz", value: "\0\xff" },
    ].sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
});

test("`readEntry()` refuses xattrs without a name, with a NUL in it, and values that are not base64", () => {
  const bad: [string, string][] = [
    ["SCHILY.xattr.", "x"],
    ["SCHILY.xattr.user\0", "x"],
    ["LIBARCHIVE.xattr.", "eA=="],
    ["LIBARCHIVE.xattr.user.%00", "eA=="],
    ["LIBARCHIVE.xattr.user.a", "e"],
    ["LIBARCHIVE.xattr.user.a", "eA="],
    ["LIBARCHIVE.xattr.user.a", "eA==="],
    ["LIBARCHIVE.xattr.user.a", "e*=="],
    ["LIBARCHIVE.xattr.user.a", "eA=A"],
  ];
  for (const [key, value] of bad) refuses(() => xattrs([[key, value]]), "TAR_INVALID");
});
