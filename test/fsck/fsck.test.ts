import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { exitStatus, type FindingKind } from "../../src/fsck/finding.ts";
import { BIG, damagedStore, flipByte, kindsOf, overwriteQuietly, type DamagedStore } from "./damaged-store.ts";
import { PROJECT } from "../../tools/project.ts";
import { run } from "../support/run.ts";

interface Damage {
  readonly what: string;
  readonly kinds: readonly FindingKind[];
  /** Damages the store. Returns the kinds of findings to expect, if they differ from `kinds`. */
  readonly make: (store: DamagedStore) => void | readonly FindingKind[] | Promise<void>;
  /** True if the repair withdraws layers, which must then be fetched. */
  readonly refetch?: boolean;
  /** True if the level `quick` finds it too. */
  readonly quick?: boolean;
}

const layerFile = ({ layout, base }: DamagedStore, name: string): string => join(layout.layer(base.diffId), name);
const first = (directory: string): string => join(directory, readdirSync(directory)[0]!);

const CHUNKS: readonly Damage[] = [
  { what: "changed content", kinds: ["chunk-content"], make: (store) => overwriteQuietly(store.file("bin/tool")), refetch: true },
  {
    what: "changed content that another inode still has",
    kinds: ["chunk-content"],
    make: (store) => overwriteQuietly(store.file("etc/motd")),
  },
  {
    what: "a truncated chunk",
    kinds: ["chunk-mtime", "chunk-size", "tree-difference"],
    make: (store) => truncateSync(store.chunk("bin/tool"), 7),
    refetch: true,
    quick: true,
  },
  {
    what: "a chunk missing from chunks/ but not from trees",
    kinds: ["chunk-missing"],
    make: (store) => rmSync(store.chunk("bin/tool")),
    quick: true,
  },
  {
    what: "a chunk missing everywhere",
    kinds: ["chunk-missing", "tree-difference"],
    make: (store) => [store.chunk("alone"), store.file("alone")].forEach((path) => rmSync(path)),
    refetch: true,
    quick: true,
  },
  {
    what: "a wrong mode",
    kinds: ["chunk-mode", "tree-difference"],
    make: (store) => chmodSync(store.file("bin/tool"), 0o755),
    quick: true,
  },
  {
    what: "a wrong owner",
    kinds: ["chunk-mode", "chunk-owner", "tree-difference"],
    make: (store) => chownSync(store.file("bin/tool"), 77, 78),
    quick: true,
  },
  { what: "a wrong mtime", kinds: ["chunk-mtime", "tree-difference"], make: (store) => utimesSync(store.file("alone"), 1, 1), quick: true },
  {
    what: "a wrong xattr",
    kinds: ["chunk-xattr", "tree-difference"],
    make: async (store) => void (await run("setfattr", ["-n", "user.note", "-v", "changed", store.file("bin/tool")])),
  },
  {
    what: "an extra xattr",
    kinds: ["chunk-xattr"],
    make: async (store) => void (await run("setfattr", ["-n", "user.more", "-v", "x", store.file("alone")])),
  },
  {
    what: "a directory in place of a chunk",
    kinds: ["chunk-type", "tree-difference"],
    make: (store) => {
      const path = store.chunk("alone");
      rmSync(path);
      mkdirSync(path);
    },
    quick: true,
  },
];

const PLACES: readonly Damage[] = [
  {
    what: "an extra file in chunks/",
    kinds: ["name-foreign"],
    make: ({ layout }) => writeFileSync(join(layout.chunks, "extra"), ""),
    quick: true,
  },
  {
    what: "an extra file in a directory of chunks/",
    kinds: ["name-foreign"],
    make: ({ layout }) => writeFileSync(join(first(layout.chunks), "extra"), ""),
    quick: true,
  },
  {
    what: "an extra file in trees/",
    kinds: ["name-foreign"],
    make: ({ layout }) => writeFileSync(join(layout.trees, "extra"), ""),
    quick: true,
  },
  {
    what: "an extra file in the root",
    kinds: ["name-foreign"],
    make: ({ layout }) => writeFileSync(join(layout.root, "extra"), ""),
    quick: true,
  },
  {
    what: "an extra directory in layers/",
    kinds: ["name-foreign"],
    make: ({ layout }) => mkdirSync(join(layout.layers, "extra")),
    quick: true,
  },
  {
    what: "a missing directory of the store",
    kinds: ["directory-missing"],
    make: ({ layout }) => rmSync(join(layout.images, "references"), { recursive: true }),
    quick: true,
  },
  {
    what: "a root that other users may read",
    kinds: ["root-permissions"],
    make: ({ layout }) => chmodSync(layout.root, 0o755),
    quick: true,
  },
  {
    what: "a lock that is not a file",
    kinds: ["lock-type"],
    make: ({ layout }) => {
      rmSync(layout.lock("sweep"), { force: true });
      mkdirSync(layout.lock("sweep"));
    },
    quick: true,
  },
];

const TREES: readonly Damage[] = [
  { what: "an extra file in a tree", kinds: ["tree-difference"], make: (store) => writeFileSync(store.file("etc/extra"), "x") },
  { what: "a file missing from a tree", kinds: ["tree-difference"], make: (store) => rmSync(store.file("etc/motd")) },
  {
    what: "a symlink with another target",
    kinds: ["tree-difference"],
    make: (store) => {
      rmSync(store.file("bin/sh"));
      symlinkSync("/bin/true", store.file("bin/sh"));
    },
  },
  { what: "a directory with a wrong mode", kinds: ["tree-difference"], make: (store) => chmodSync(store.file("etc"), 0o700) },
  {
    what: "a copy instead of a hard link",
    kinds: ["tree-difference"],
    make: (store) => {
      copyFileSync(store.file("alone"), store.file("copy"));
      renameSync(store.file("copy"), store.file("alone"));
    },
  },
  {
    what: "two files of one image on one inode",
    kinds: ["tree-difference"],
    make: (store) => {
      rmSync(store.file("etc/same"));
      linkSync(store.file("etc/motd"), store.file("etc/same"));
    },
  },
  { what: "a missing whiteout", kinds: ["tree-difference"], make: ({ trees }) => rmSync(join(trees[1]!, "etc/other")) },
  { what: "content in an empty file", kinds: ["tree-difference"], make: (store) => writeFileSync(store.file("empty"), "no more") },
];

const LAYERS: readonly Damage[] = [
  {
    what: "a truncated sidecar",
    kinds: ["sidecar-invalid"],
    make: (store) => truncateSync(layerFile(store, "sidecar"), 600),
    refetch: true,
    quick: true,
  },
  {
    what: "a flipped bit in a sidecar",
    kinds: ["sidecar-invalid"],
    make: (store) => flipByte(layerFile(store, "sidecar"), 400),
    refetch: true,
    quick: true,
  },
  {
    what: "a foreign sidecar",
    kinds: ["sidecar-invalid"],
    make: (store) => writeFileSync(layerFile(store, "sidecar"), "PK\x03\x04"),
    refetch: true,
    quick: true,
  },
  {
    what: "a sidecar of a later version",
    kinds: ["sidecar-invalid"],
    make: (store) => copyFileSync(join(PROJECT, "format/vectors/refused-later-version.sidecar"), layerFile(store, "sidecar")),
    refetch: true,
    quick: true,
  },
  {
    what: "another layer's sidecar",
    kinds: ["sidecar-invalid"],
    make: (store) => copyFileSync(join(store.layout.layer(store.top.diffId), "sidecar"), layerFile(store, "sidecar")),
    refetch: true,
    quick: true,
  },
  {
    what: "a missing sidecar",
    kinds: ["sidecar-missing"],
    make: (store) => rmSync(layerFile(store, "sidecar")),
    refetch: true,
    quick: true,
  },
  { what: "missing headers", kinds: ["headers-missing"], make: (store) => rmSync(layerFile(store, "headers")), refetch: true, quick: true },
  { what: "truncated headers", kinds: ["headers-invalid"], make: (store) => truncateSync(layerFile(store, "headers"), 80), refetch: true },
  {
    what: "a flipped bit in headers",
    kinds: ["headers-invalid"],
    make: (store) => flipByte(layerFile(store, "headers"), 70),
    refetch: true,
  },
  {
    what: "a damaged record of a layer",
    kinds: ["layer-record"],
    make: (store) => writeFileSync(layerFile(store, "record"), "{"),
    refetch: true,
    quick: true,
  },
];

const IMAGES: readonly Damage[] = [
  {
    what: "a damaged reference",
    kinds: ["reference-damaged"],
    make: ({ layout }) => flipByte(first(layout.reference("")), -3),
    refetch: true,
    quick: true,
  },
  {
    what: "a damaged image record",
    kinds: ["record-damaged", "reference-dangling"],
    make: ({ layout }) => flipByte(first(join(layout.images, "records")), -3),
    refetch: true,
    quick: true,
  },
  {
    what: "a damaged manifest",
    kinds: ["manifest-damaged"],
    make: ({ layout }) => flipByte(first(join(layout.images, "manifests")), 5),
    refetch: true,
    quick: true,
  },
  {
    what: "a missing config",
    kinds: ["config-missing"],
    make: ({ layout }) => rmSync(first(join(layout.images, "configs"))),
    refetch: true,
    quick: true,
  },
];

const CATALOG: readonly Damage[] = [
  { what: "a missing catalog", kinds: ["catalog-missing"], make: ({ layout }) => rmSync(layout.db, { recursive: true }) },
  { what: "a catalog without CURRENT", kinds: ["catalog-missing"], make: ({ layout }) => rmSync(join(layout.db, "CURRENT")) },
  { what: "a catalog without manifest", kinds: ["catalog-damaged"], make: ({ layout }) => rmSync(logOf(layout.db, "MANIFEST")) },
  { what: "an emptied catalog log", kinds: ["catalog-incomplete"], make: ({ layout }) => emptyLog(layout.db) },
];

/** Empties the log. After one session it holds all; after several, the first sessions' rows are in a table. */
function emptyLog(db: string): readonly FindingKind[] {
  truncateSync(logOf(db, ".log"), 0);
  return readdirSync(db).some((name) => name.endsWith(".ldb")) ? ["catalog-incomplete"] : ["catalog-damaged"];
}

const logOf = (db: string, part: string): string =>
  join(
    db,
    readdirSync(db).find((name) => name.includes(part))!,
  );

describe("fsck", () => {
  it("`fsck()` finds nothing in an intact store, at any level, and changes nothing", async () => {
    await using store = await damagedStore();
    const before = listing(store.layout.root);
    for (const level of ["quick", "default", "full"] as const) assert.deepEqual(await store.check({ level }), [], level);
    assert.deepEqual(listing(store.layout.root), before);
  });

  for (const { what, kinds: usual, make, refetch, quick } of [...CHUNKS, ...PLACES, ...TREES, ...LAYERS, ...IMAGES, ...CATALOG]) {
    it(`\`fsck()\` finds and repairs ${what}`, async () => {
      await using store = await damagedStore();
      if (usual.some((kind) => kind.startsWith("catalog"))) await store.local.store.close();
      const kinds = (await make(store)) ?? usual;
      const found = await store.check();
      assert.deepEqual(
        kindsOf(found).filter((kind) => !kind.startsWith("tree-") || kinds.includes("tree-difference")),
        kinds.filter((kind) => kind !== "tree-difference" || kindsOf(found).includes(kind)),
      );
      assert.ok(kinds.every((kind) => kind === "tree-difference" || kindsOf(found).includes(kind)));
      assert.equal(exitStatus(found), 4);
      assert.equal(exitStatus(await store.check({ level: "quick" })), quick ? 4 : 0);
      const dry = await store.check({ repair: true, dryRun: true });
      assert.ok(dry.every(({ state, severity }) => severity === "note" || state === "would-correct"));
      assert.equal(exitStatus(dry), 4);
      const repaired = await store.check({ repair: true });
      assert.equal(exitStatus(repaired), 1, JSON.stringify(repaired));
      assert.deepEqual(kindsOf(await store.check({ level: "full" })), []);
      if (kinds.some((kind) => kind.startsWith("catalog"))) return;
      const [one, two] = [await store.local.pullAgain("one"), await store.local.pullAgain("two")];
      assert.equal(one.cached && two.cached && refetch === true && kinds[0]!.startsWith("chunk"), false);
      assert.equal(readFileSync(join(two.layers[0]!, "alone"), "latin1"), "nowhere else\n");
      assert.ok(readFileSync(join(two.layers[0]!, "bin/tool")).equals(BIG));
      assert.deepEqual(kindsOf(await store.check({ level: "full" })), []);
    });
  }

  it("`fsck()` reports which trees and images a write through a hard link affects", async () => {
    await using store = await damagedStore();
    overwriteQuietly(store.file("alone"));
    const [found, ...rest] = await store.check();
    assert.deepEqual(rest, []);
    assert.equal(found?.kind, "chunk-content");
    assert.deepEqual(found.trees, [store.trees[0]!.split("/").at(-1)]);
    assert.deepEqual(found.images?.toSorted(), [store.local.reference("one"), store.local.reference("two")].sort());
  });

  for (const [what, kind, text] of [
    ["a missing superblock", "superblock-missing", undefined],
    ["a foreign superblock", "superblock-invalid", '{"name":"x"}'],
    ["a superblock that is not JSON", "superblock-invalid", "\0\0\0"],
    ["a superblock of a later version", "superblock-invalid", '{"shale":"store","version":2}'],
    ["a damaged superblock", "superblock-invalid", '{"shale":"store","version":1,"id":7}'],
  ] as const) {
    it(`\`fsck()\` stops at ${what}, and does not change the store`, async () => {
      await using store = await damagedStore();
      if (text === undefined) rmSync(store.layout.superblock);
      else writeFileSync(store.layout.superblock, text);
      const before = listing(store.layout.root);
      const found = await store.check({ repair: true });
      assert.deepEqual(
        found.map((one) => one.kind),
        [kind],
      );
      assert.equal(exitStatus(found), 4);
      assert.deepEqual(listing(store.layout.root), before);
    });
  }

  it("`fsck()` reports what dead processes left, not what living ones use, and removes it on repair", async () => {
    await using store = await damagedStore();
    const dead = join(store.layout.staging, "work-0000000000000000");
    mkdirSync(dead);
    writeFileSync(join(dead, "owner"), "");
    const found = await store.check();
    assert.deepEqual(
      found.map(({ kind, object }) => [kind, object]),
      [["staging-leftover", "staging/work-0000000000000000"]],
    );
    assert.equal(exitStatus(found), 0);
    assert.equal(exitStatus(await store.check({ repair: true })), 1);
    assert.deepEqual(await store.check(), []);
  });
});

/** Lists every name of the store with its inode, size and times. */
function listing(root: string): string[] {
  const names = readdirSync(root, { recursive: true, withFileTypes: true }).map((entry) => join(entry.parentPath, entry.name));
  const lines = names
    .filter((name) => !name.includes("/locks/") && !name.includes("/staging"))
    .map((name) => `${name} ${describeFile(name)}`);
  return lines.sort((a, b) => (a < b ? -1 : 1));
}

function describeFile(name: string): string {
  const stat = statSync(name, { throwIfNoEntry: false });
  return stat ? `${stat.ino} ${stat.size} ${stat.mode} ${stat.mtimeMs} ${stat.nlink}` : "";
}
