import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ByteString } from "../../src/bytes.ts";
import { classifyName, isBelowWhiteout, normalizePath } from "../../src/tar/entry-path.ts";
import { refuses } from "./refuses.ts";

const bytes = (text: string): ByteString => text as ByteString;
const normalize = (path: string): string => normalizePath(bytes(path), 0);

test("`normalizePath()` gives each path one spelling", () => {
  const spellings = {
    "a/b": ["a/b", "/a/b", "a/b/", "./a/b", "a//b", "a/./b", "/./a/b/.", "///a///b///", "././a/b//./"],
    "": ["", ".", "/", "./", "//", "./.", "/."],
    a: ["a", "./a", "a/", "a/."],
    ".a/b./...": [".a/b./...", "/.a/b./.../"],
    "..a/a..": ["..a/a.."],
  };
  for (const [clean, paths] of Object.entries(spellings)) for (const path of paths) assert.equal(normalize(path), clean, path);
});

test("`normalizePath()` keeps bytes that only look like something else", () => {
  for (const path of ["caf\xe9", "a\\b", "C:x", "-rf", "a\nb", "\x1b[0m", "\xc0\xae\xc0\xae/x"]) assert.equal(normalize(path), path);
});

test("`normalizePath()` refuses two dots and NULs wherever they stand", () => {
  for (const path of ["..", "../a", "a/..", "a/../b", "/../a", "./..", "a\0", "\0", "a/b\0c/d"]) {
    const { detail } = refuses(() => normalizePath(bytes(path), 77), "TAR_INVALID");
    assert.equal(detail.offset, 77);
  }
  assert.equal(refuses(() => normalize("a/../\xff"), "TAR_INVALID").detail.entry, "a/../\\xff");
});

test("`normalizePath()` bounds components, length and depth", () => {
  const longest = "c".repeat(255);
  assert.equal(normalize(`${longest}/x`), `${longest}/x`);
  refuses(() => normalize(`${longest}c/x`), "TAR_INVALID");
  const path = `${`${longest}/`.repeat(15)}${longest}`;
  assert.equal(path.length, 4095);
  assert.equal(normalize(`./${path}/`), path);
  refuses(() => normalize(`x/${path}`), "TAR_INVALID");
  assert.equal(normalize("d/".repeat(1024)).length, 2047);
  refuses(() => normalize("d/".repeat(1025)), "LIMIT_PATH_DEPTH");
  const limits = refuses(() => normalizePath(bytes("a/b/c"), 0, { maxDepth: 2 }), "LIMIT_PATH_DEPTH");
  assert.deepEqual(limits.detail, { limit: "pathDepth", maximum: 2 });
  assert.equal(normalize(`a${"/.".repeat(500_000)}`), "a");
});

test("`normalizePath()` agrees with splitting at slashes, and changes nothing the second time", () => {
  const part = fc.constantFrom("", ".", "a", "bc", ".wh.x", "...", "\xff");
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
      const clean = normalize(parts.join("/"));
      assert.equal(clean, parts.filter((name) => name !== "" && name !== ".").join("/"));
      assert.equal(normalize(clean), clean);
    }),
  );
});

test("`classifyName()` tells whiteouts, opaque markers and AUFS's own files from plain names", () => {
  for (const base of ["a", "", ".wh", "wh.", "a.wh.b", ".WH.a", ".whx"]) assert.deepEqual(classifyName(bytes(base), 0), { kind: "plain" });
  for (const name of ["a", "...", "wh.", ".a", " ", "\xff", "opq"]) {
    assert.deepEqual(classifyName(bytes(`.wh.${name}`), 0), { kind: "whiteout", name });
  }
  assert.deepEqual(classifyName(bytes(".wh..wh..opq"), 0), { kind: "opaque" });
  for (const base of [".wh..wh.plnk", ".wh..wh.aufs", ".wh..wh.", ".wh..wh..opqx"]) {
    assert.deepEqual(classifyName(bytes(base), 0), { kind: "aufs" });
  }
});

test("`classifyName()` refuses whiteouts of nothing, of the directory and of its parent", () => {
  for (const base of [".wh.", ".wh..", ".wh..."]) {
    const { detail } = refuses(() => classifyName(bytes(base), 512), "TAR_INVALID");
    assert.deepEqual(detail, { offset: 512, entry: base });
  }
});

test("`isBelowWhiteout()` finds directories named as whiteouts, not whiteouts themselves", () => {
  for (const path of [".wh.a/b", "x/.wh.a/b", "x/.wh..wh.plnk/1.2", "a.wh./.wh.b/c", ".wh.a/.wh.b"])
    assert.ok(isBelowWhiteout(bytes(path)), path);
  for (const path of ["", ".wh.a", "x/.wh.a", "x.wh.a/b", "a/b", "x.wh./y.wh./z"]) assert.ok(!isBelowWhiteout(bytes(path)), path);
});
