/** How the entries of one layer add up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteString } from "../../../src/bytes.ts";
import { ShaleError } from "../../../src/errors.ts";
import { Directory, LayerModel } from "../../../src/ingest/layer/layer-model.ts";
import { chunkId, inodeIdAt } from "../../../src/store/ids.ts";
import type { TarEntry } from "../../../src/tar/entry.ts";
import { entryTableOf, type IngestedEntry } from "../../support/entry-table-of.ts";
import { finishes } from "../../support/finishes.ts";

let serial = 0;

function row(kind: TarEntry["kind"], path: string, fields: Partial<TarEntry> = {}): IngestedEntry {
  const numbers = { uid: 0, gid: 0, devMajor: 0, devMinor: 0, mtime: 0, mtimeNs: 0, size: 0, start: 0, data: 0, end: 0, stored: 0 };
  const entry = { kind, path: path as ByteString, linkPath: "" as ByteString, mode: 0o644, ...numbers, xattrs: [], ...fields };
  return { entry, offset: 0, stored: undefined };
}

const file = (path: string, fields?: Partial<TarEntry>): IngestedEntry => {
  const inode = inodeIdAt(Buffer.from(`${serial++}`.padStart(20, "0")), 0);
  const stored = { chunk: chunkId(Buffer.concat([inode, Buffer.alloc(12)])), inode, state: 0 } as const;
  return { ...row("file", path, { size: 1, ...fields }), stored };
};
const dir = (path: string, fields?: Partial<TarEntry>): IngestedEntry => row("directory", path, { mode: 0o755, ...fields });
const symlink = (path: string, target: string): IngestedEntry => row("symlink", path, { linkPath: target as ByteString });
const link = (path: string, target: string, fields?: Partial<TarEntry>): IngestedEntry =>
  row("hardlink", path, { linkPath: target as ByteString, ...fields });

interface Layer {
  readonly rows: readonly IngestedEntry[];
  readonly model: LayerModel;
}

function layerOf(...rows: readonly IngestedEntry[]): Layer {
  return { rows, model: new LayerModel(entryTableOf(rows, 3), { pathDepth: 1024 }).build() };
}

/** Every name: `d a/`, `f a/b`, `l c -> target`, with `=N` for the inode shared by others, `opaque` and whiteouts `w name`. */
function show({ rows, model }: Layer): string[] {
  const groups = new Map<unknown, string[]>();
  const lines: string[] = [];
  const showFile = (made: number, name: string): void => {
    const inode = model.inodes.get(made);
    const { kind, linkPath } = rows[inode?.row ?? made]!.entry;
    groups.set(inode ?? made, [...(groups.get(inode ?? made) ?? []), name]);
    lines.push(`${kind} ${name}${kind === "symlink" ? ` -> ${linkPath}` : ""}`);
  };
  const visit = (directory: Directory, path: string): void => {
    if (directory.opaque) lines.push(`opaque ${path || "."}`);
    for (const name of directory.whiteouts?.keys() ?? []) lines.push(`w ${path}${name}`);
    for (const [name, child] of directory.children ?? []) {
      if (!(child instanceof Directory)) showFile(child, path + name);
      else {
        lines.push(`directory ${path}${name}${child.row < 0 ? " implied" : ""}`);
        visit(child, `${path}${name}/`);
      }
    }
  };
  visit(model.root, "");
  for (const group of groups.values()) if (group.length > 1) lines.push(`same ${group.sort().join(" ")}`);
  return lines.sort();
}

interface Rule {
  readonly rule: string;
  readonly rows: readonly IngestedEntry[];
  readonly gives: readonly string[];
}

const RULES: readonly Rule[] = [
  { rule: "a missing parent is implied", rows: [file("a/b/c")], gives: ["directory a implied", "directory a/b implied", "file a/b/c"] },
  {
    rule: "a directory that comes after its children keeps them",
    rows: [file("a/b"), dir("a")],
    gives: ["directory a", "file a/b"],
  },
  { rule: "paths have one spelling", rows: [file("./a//b/"), file("/a/b")], gives: ["directory a implied", "file a/b"] },
  { rule: "a file replaces a directory with all in it", rows: [file("a/b"), file("a")], gives: ["file a"] },
  { rule: "a directory replaces a file", rows: [file("a"), dir("a"), file("a/b")], gives: ["directory a", "file a/b", "opaque a/"] },
  {
    rule: "a directory replaces a symlink",
    rows: [file("t/x"), symlink("a", "t"), dir("a"), file("a/b")],
    gives: ["directory a", "directory t implied", "file a/b", "file t/x", "opaque a/"],
  },
  {
    rule: "a symlink replaces a directory, and is then followed",
    rows: [file("a/x"), file("t/y"), symlink("a", "t"), file("a/z")],
    gives: ["directory t implied", "file t/y", "file t/z", "symlink a -> t"],
  },
  {
    rule: "a symlinked parent is followed",
    rows: [dir("usr/lib"), symlink("lib", "usr/lib"), file("lib/x")],
    gives: ["directory usr implied", "directory usr/lib", "file usr/lib/x", "symlink lib -> usr/lib"],
  },
  {
    rule: "an absolute symlink stays in the layer",
    rows: [symlink("l", "/etc"), file("l/passwd")],
    gives: ["directory etc implied", "file etc/passwd", "symlink l -> /etc"],
  },
  {
    rule: "`..` in a symlink stops at the root",
    rows: [symlink("a/l", "../../../../etc"), file("a/l/passwd")],
    gives: ["directory a implied", "directory etc implied", "file etc/passwd", "symlink a/l -> ../../../../etc"],
  },
  {
    rule: "a chain of symlinks is followed",
    rows: [symlink("a", "b"), symlink("b", "c/d"), file("a/x")],
    gives: ["directory c implied", "directory c/d implied", "file c/d/x", "symlink a -> b", "symlink b -> c/d"],
  },
  { rule: "a name that ends in a symlink is the symlink", rows: [file("t"), symlink("l", "t"), file("l")], gives: ["file l", "file t"] },
  { rule: "a whiteout hides a name", rows: [row("file", "a/.wh.b")], gives: ["directory a implied", "w a/b"] },
  {
    rule: "a whiteout keeps a file of its own layer, before and after",
    rows: [file("a"), row("file", ".wh.a"), row("file", ".wh.b"), file("b")],
    gives: ["file a", "file b", "w a", "w b"],
  },
  {
    rule: "opaque markers say so of their directory alone",
    rows: [file("a/b/c"), row("file", "a/.wh..wh..opq")],
    gives: ["directory a implied", "directory a/b implied", "file a/b/c", "opaque a/"],
  },
  { rule: "an opaque marker makes its directory", rows: [row("file", "a/.wh..wh..opq")], gives: ["directory a implied", "opaque a/"] },
  {
    rule: "a whiteout below a symlink is where the symlink leads",
    rows: [dir("t"), symlink("l", "t"), row("file", "l/.wh.x")],
    gives: ["directory t", "symlink l -> t", "w t/x"],
  },
  { rule: "what is below a whiteout is nothing", rows: [row("file", ".wh.a/b")], gives: [] },
  { rule: "AUFS bookkeeping is nothing", rows: [row("file", ".wh..wh.plnk"), row("file", ".wh..wh.plnk/1.2")], gives: [] },
  {
    rule: "whiteouts below what a file replaced are nothing",
    rows: [file("d"), row("file", "d/.wh.x"), row("file", "d/e/.wh..wh..opq")],
    gives: ["file d"],
  },
  {
    rule: "a hard link shares an inode",
    rows: [file("a"), link("b", "a"), link("c/d", "./b")],
    gives: ["directory c implied", "file a", "file b", "file c/d", "same a b c/d"],
  },
  { rule: "a hard link may come before its target", rows: [link("b", "a"), file("a")], gives: ["file a", "file b", "same a b"] },
  {
    rule: "hard links chain forward",
    rows: [link("c", "b"), link("b", "a"), file("a")],
    gives: ["file a", "file b", "file c", "same a b c"],
  },
  {
    rule: "a hard link to a symlink links the symlink",
    rows: [symlink("s", "nowhere"), link("h", "s")],
    gives: ["same h s", "symlink h -> nowhere", "symlink s -> nowhere"],
  },
  {
    rule: "a hard link through a symlinked directory",
    rows: [file("t/x"), symlink("l", "t"), link("h", "l/x")],
    gives: ["directory t implied", "file h", "file t/x", "same h t/x", "symlink l -> t"],
  },
  { rule: "a hard link to itself loses nothing", rows: [file("a"), link("a", "a")], gives: ["file a"] },
  { rule: "a hard link keeps what its target was", rows: [file("a"), link("b", "a"), file("a")], gives: ["file a", "file b"] },
  { rule: "a hard link to a device or FIFO", rows: [row("fifo", "p"), link("q", "p")], gives: ["fifo p", "fifo q", "same p q"] },
  {
    rule: "names that objects have are ordinary",
    rows: [file("__proto__"), file("constructor/__proto__")],
    gives: ["directory constructor implied", "file __proto__", "file constructor/__proto__"],
  },
];

for (const { rule, rows, gives } of RULES) {
  test(`\`LayerModel\`: ${rule}`, () => assert.deepEqual(show(layerOf(...rows)), gives));
}

const REFUSED: readonly { rule: string; rows: readonly IngestedEntry[] }[] = [
  { rule: "a file as parent", rows: [file("a"), file("a/b")] },
  { rule: "a device as parent", rows: [row("char", "a"), file("a/b")] },
  { rule: "`..` in a path", rows: [file("a/../b")] },
  { rule: "`..` in a hard link's target", rows: [file("a"), link("b", "../a")] },
  { rule: "a root that is no directory", rows: [file("./")] },
  { rule: "a root that is a symlink", rows: [symlink(".", "/etc")] },
  { rule: "a hard link to nothing", rows: [link("b", "a")] },
  { rule: "a hard link to itself that is nothing yet", rows: [link("a", "a")] },
  { rule: "hard links in a loop", rows: [link("a", "b"), link("b", "a")] },
  { rule: "a hard link to a directory", rows: [dir("d"), link("b", "d")] },
  { rule: "a hard link to a later directory", rows: [link("b", "d"), dir("d")] },
  { rule: "a hard link to the root", rows: [link("b", "/")] },
  { rule: "a symlink loop as parent", rows: [symlink("a", "b"), symlink("b", "a"), file("a/x")] },
  { rule: "a symlink to itself as parent", rows: [symlink("a", "a/b"), file("a/x")] },
  { rule: "a whiteout of no name", rows: [row("file", "a/.wh.")] },
  { rule: "a whiteout of the directory itself", rows: [row("file", "a/.wh..")] },
  { rule: "a whiteout of the parent", rows: [row("file", "a/.wh...")] },
];

for (const { rule, rows } of REFUSED) {
  test(`\`LayerModel\` refuses ${rule}`, () =>
    assert.throws(
      () => layerOf(...rows),
      (error) => ShaleError.is(error, "TAR_INVALID"),
    ));
}

test("`LayerModel`: the header of a hard link speaks of the inode, and marks it for storing once more", () => {
  const { inodes } = layerOf(file("a", { mode: 0o644 }), link("b", "a", { mode: 0o755, uid: 7, mtime: 9 })).model;
  const inode = inodes.get(0)!;
  const { mode, uid, mtime } = inode.attributes;
  assert.deepEqual([mode, uid, mtime, inode.altered], [0o755, 7, 9, true]);
  assert.equal(inodes.get(1), inode);
  assert.equal(layerOf(file("a"), link("b", "a")).model.inodes.get(0)?.altered, false);
});

test("`LayerModel`: a path has one meaning in all its spellings, before and after a name in it is replaced", () => {
  const spellings = ["a/b", "./a/b", "/a/b", "a//b", "a/./b", "a/b/", "a/b//", "a/b/.", "a/b/./"];
  for (const spelling of spellings) {
    const rows = [file(spelling), ...spellings.map((other) => file(other)), file("a/b/b/."), file("a")];
    assert.throws(() => layerOf(...rows.slice(0, -1)), { code: "TAR_INVALID" });
    rows.splice(-2, 1, file("a/c"));
    assert.deepEqual(show(layerOf(...rows.slice(0, -1))), ["directory a implied", "file a/b", "file a/c"]);
    assert.deepEqual(show(layerOf(...rows)), ["file a"]);
    assert.throws(() => layerOf(...rows, file(spelling)), { code: "TAR_INVALID" });
  }
});

test("`LayerModel` holds names in a known directory to the limits of all paths", () => {
  const deep = "d/".repeat(1023);
  layerOf(file(`${deep}a`), file(`${deep}b`));
  const long = `${"n".repeat(250)}/`.repeat(16);
  layerOf(file(`${long}a`), file(`${long}${"b".repeat(79)}`));
  for (const [first, second, code] of [
    [`${long}a`, `${long}${"b".repeat(80)}`, "TAR_INVALID"],
    ["a/b", `a/${"n".repeat(256)}`, "TAR_INVALID"],
    ["a/b", "a/..", "TAR_INVALID"],
    ["a/b", "a/b\0c", "TAR_INVALID"],
    [`${deep}a`, `${deep}b/c`, "LIMIT_PATH_DEPTH"],
  ] as const)
    assert.throws(() => layerOf(file(first), file(second)), { code });
});

test("`LayerModel` takes linear time: deep paths, one directory, chains of links, one path again and again", () => {
  const count = 100_000;
  const many = (make: (index: number) => IngestedEntry): IngestedEntry[] => Array.from({ length: count }, (_, index) => make(index));
  for (const rows of [
    many((index) => file(`d/${index}`)),
    many(() => file("d/same")),
    many((index) => link(`l${index}`, `l${index + 1}`)).concat(file(`l${count}`)),
    many((index) => row("file", `d${index % 10}/.wh.${index}`)),
    many((index) => file(`${"d/".repeat(200)}${index}`)),
    many((index) => (index % 2 ? file("x/y") : file("x"))).map((entry, index) => (index % 2 ? dir("x") : entry)),
  ]) {
    finishes(() => void new LayerModel(entryTableOf(rows), { pathDepth: 1024 }).build());
  }
});
