/** How the entries of one layer add up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ByteString } from "../../src/bytes.ts";
import { ShaleError } from "../../src/errors.ts";
import { LayerModel, type Node } from "../../src/ingest/layer-model.ts";
import type { EntryRow } from "../../src/ingest/entry-table.ts";

let serial = 0;

function row(kind: EntryRow["kind"], path: string, fields: Partial<EntryRow> = {}): EntryRow {
  const numbers = { uid: 0, gid: 0, devMajor: 0, devMinor: 0, mtime: 0, mtimeNs: 0, size: 0, offset: 0 };
  const base = {
    kind,
    path: path as ByteString,
    linkPath: "" as ByteString,
    mode: 0o644,
    ...numbers,
    xattrs: [],
    stored: undefined,
    sparse: false,
  };
  return { ...base, ...fields };
}

const file = (path: string, fields?: Partial<EntryRow>): EntryRow => {
  const id = Buffer.from(`${serial++}`.padStart(20, "0"));
  return row("file", path, { size: 1, stored: { chunk: Buffer.concat([id, Buffer.alloc(12)]), inode: id, placing: 0 }, ...fields });
};
const dir = (path: string, fields?: Partial<EntryRow>): EntryRow => row("directory", path, { mode: 0o755, ...fields });
const symlink = (path: string, target: string): EntryRow => row("symlink", path, { linkPath: target as ByteString });
const link = (path: string, target: string, fields?: Partial<EntryRow>): EntryRow =>
  row("hardlink", path, { linkPath: target as ByteString, ...fields });

function modelOf(...rows: readonly EntryRow[]): LayerModel {
  const model = new LayerModel({ pathDepth: 1024 });
  for (const entry of rows) model.add(entry);
  model.finish();
  return model;
}

/** Every name: `d a/`, `f a/b`, `l c -> target`, with `=N` for the inode shared by others, `opaque` and whiteouts `w name`. */
function show(model: LayerModel): string[] {
  const inodes = new Map<unknown, string[]>();
  const lines: string[] = [];
  const visit = (node: Node, path: string): void => {
    if (node.opaque) lines.push(`opaque ${path || "."}`);
    for (const name of node.whiteouts?.keys() ?? []) lines.push(`w ${path}${name}`);
    for (const child of node.children?.values() ?? []) {
      const name = path + child.name;
      const { inode } = child;
      if (inode && inode.kind !== "directory") inodes.set(inode, [...(inodes.get(inode) ?? []), name]);
      const target = inode?.kind === "symlink" ? ` -> ${inode.target}` : "";
      lines.push(`${inode?.kind} ${name}${child.isDirectory && child.row < 0 ? " implied" : ""}${target}`);
      visit(child, `${name}/`);
    }
  };
  visit(model.root, "");
  for (const group of inodes.values()) if (group.length > 1) lines.push(`same ${group.sort().join(" ")}`);
  return lines.sort();
}

interface Rule {
  readonly rule: string;
  readonly rows: readonly EntryRow[];
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
  test(`\`LayerModel\`: ${rule}`, () => assert.deepEqual(show(modelOf(...rows)), gives));
}

const REFUSED: readonly { rule: string; rows: readonly EntryRow[] }[] = [
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
      () => modelOf(...rows),
      (error) => ShaleError.is(error, "TAR_INVALID"),
    ));
}

test("`LayerModel`: the header of a hard link speaks of the inode, and marks it for storing once more", () => {
  const model = modelOf(file("a", { mode: 0o644 }), link("b", "a", { mode: 0o755, uid: 7, mtime: 9 }));
  const inode = model.root.child("a" as ByteString)?.inode;
  assert.deepEqual([inode?.mode, inode?.uid, inode?.mtime, inode?.altered], [0o755, 7, 9, true]);
  const same = modelOf(file("a"), link("b", "a"));
  assert.equal(same.root.child("a" as ByteString)?.inode?.altered, false);
});

test(
  "`LayerModel` takes time in proportion to entries: deep paths, one directory, chains of links, one path again and again",
  { timeout: 20_000 },
  () => {
    const started = performance.now();
    const count = 100_000;
    const many = (make: (index: number) => EntryRow): EntryRow[] => Array.from({ length: count }, (_, index) => make(index));
    for (const rows of [
      many((index) => file(`d/${index}`)),
      many(() => file("d/same")),
      many((index) => link(`l${index}`, `l${index + 1}`)).concat(file(`l${count}`)),
      many((index) => row("file", `d${index % 10}/.wh.${index}`)),
      many((index) => file(`${"d/".repeat(200)}${index}`)),
      many((index) => (index % 2 ? file("x/y") : file("x"))).map((entry, index) => (index % 2 ? dir("x") : entry)),
    ]) {
      const model = new LayerModel({ pathDepth: 1024 });
      for (const entry of rows) model.add(entry);
      model.finish();
    }
    assert.ok(performance.now() - started < 15_000);
  },
);
