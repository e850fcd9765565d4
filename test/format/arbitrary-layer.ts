import fc from "fast-check";
import { comparePaths, Flag } from "../../format/index.ts";
import type { ByteString, SidecarEntry, SidecarTail, Xattr } from "../../format/index.ts";

/** Entries in file order with what a writer needs beside them. */
export interface Layer extends SidecarTail {
  readonly diffId: Uint8Array;
  readonly live: number;
  readonly entries: readonly SidecarEntry[];
}

/** Both arguments are byte strings. */
export function xattr(name: string, value: string): Xattr {
  return { name: name as ByteString, value: value as ByteString };
}

export function entryOf(path: string, fields: Partial<SidecarEntry> = {}): SidecarEntry {
  return {
    path,
    mode: 0o100644,
    uid: 0,
    gid: 0,
    rdevMajor: 0,
    rdevMinor: 0,
    xattrs: [],
    mtime: 0,
    mtimeNs: 0,
    size: 0,
    offset: 0,
    chunk: -1,
    flags: 0,
    target: "",
    leader: -1,
    ...fields,
  };
}

export const directory: Partial<SidecarEntry> = { mode: 0o040755 };

const byte: fc.Arbitrary<string> = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom("a", "b", "-", ".", "0", "\xe9", "\xff") },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 1, max: 255 })
      .filter((code) => code !== 0x2f)
      .map((code) => String.fromCharCode(code)),
  },
);

const name: fc.Arbitrary<string> = fc
  .array(byte, { minLength: 1, maxLength: 6 })
  .map((bytes) => bytes.join(""))
  .filter((text) => text !== "." && text !== "..");

const text: fc.Arbitrary<string> = fc.array(byte, { minLength: 1, maxLength: 12 }).map((bytes) => bytes.join(""));

const u32: fc.Arbitrary<number> = fc.oneof(fc.nat(3000), fc.constant(0xffff_ffff), fc.constant(0x8000_0000));

type Kind = "file" | "empty" | "sparse" | "directory" | "symlink" | "device" | "fifo" | "whiteout" | "link";

interface Node {
  readonly parent: number;
  readonly name: string;
  readonly kind: Kind;
  readonly content: number;
  readonly size: number;
  readonly attributes: Pick<SidecarEntry, "uid" | "gid" | "xattrs" | "mtime" | "mtimeNs"> & { readonly permissions: number };
  readonly target: string;
  readonly implicit: boolean;
  readonly shadowed: boolean;
  readonly key: number;
}

const node: fc.Arbitrary<Node> = fc.record({
  parent: fc.nat(),
  name,
  kind: fc.constantFrom<Kind>("file", "file", "empty", "sparse", "directory", "directory", "symlink", "device", "fifo", "whiteout", "link"),
  content: fc.nat(9),
  size: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.constant(2 ** 40), fc.constant(2 ** 48 - 1)),
  attributes: fc.record({
    permissions: fc.constantFrom(0o644, 0o755, 0o4755, 0o1777),
    uid: u32,
    gid: u32,
    mtime: fc.oneof(fc.nat(2 ** 31 - 1), fc.maxSafeInteger(), fc.integer({ min: -5_000_000_000, max: -1 })),
    mtimeNs: fc.oneof(fc.constant(0), fc.nat(999_999_999)),
    xattrs: fc
      .uniqueArray(fc.record({ name: text, value: fc.oneof(text, fc.constant("")) }, { noNullPrototype: true }), {
        maxLength: 3,
        selector: (one) => one.name,
      })
      .map((xattrs) => xattrs.sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, value }) => xattr(name, value))),
  }),
  target: text,
  implicit: fc.boolean(),
  shadowed: fc.integer({ min: 0, max: 5 }).map((dice) => dice === 0),
  key: fc.nat(),
});

/** One layer as an ingest could have made it, with its entries in the order of each form. */
export interface TwoForms {
  readonly indexed: Layer;
  readonly unindexed: Layer;
}

export const arbitraryLayer: fc.Arbitrary<TwoForms> = fc
  .tuple(fc.array(node, { maxLength: 40 }), fc.boolean(), fc.uint8Array({ minLength: 32, maxLength: 32 }))
  .map(([nodes, implicitRoot, diffId]) => {
    const { live, shadowed } = buildLayer(nodes, implicitRoot);
    return { indexed: arrange({ live, shadowed, diffId, indexed: true }), unindexed: arrange({ live, shadowed, diffId, indexed: false }) };
  });

interface Draft {
  readonly entry: SidecarEntry;
  readonly key: number;
  readonly content: number;
  leads: Draft | undefined;
}

function buildLayer(nodes: readonly Node[], implicitRoot: boolean): { live: Draft[]; shadowed: Draft[] } {
  const live: Draft[] = [draft(entryOf("", { ...directory, flags: implicitRoot ? Flag.implicit : 0 }), 0)];
  const shadowed: Draft[] = [];
  const paths = new Set([""]);
  for (const item of nodes) {
    const directories = live.filter(({ entry }) => (entry.mode & 0o170000) === 0o040000);
    const parent = directories[item.parent % directories.length]?.entry.path ?? "";
    const path = parent === "" ? item.name : `${parent}/${item.name}`;
    const drafted = draftOf(item, path, live);
    if (item.shadowed && !(drafted.entry.flags & Flag.implicit) && item.kind !== "link") shadowed.push(drafted);
    else if (!paths.has(path)) {
      paths.add(path);
      live.push(drafted);
    }
  }
  return { live, shadowed };
}

function draft(entry: SidecarEntry, key: number, content = -1): Draft {
  return { entry, key, content, leads: undefined };
}

function draftOf(item: Node, path: string, live: readonly Draft[]): Draft {
  const { permissions, ...attributes } = item.attributes;
  const of = (type: number, fields: Partial<SidecarEntry> = {}): SidecarEntry =>
    entryOf(path, { ...attributes, mode: type === 0 ? 0 : type | permissions, ...fields });
  switch (item.kind) {
    case "file":
      return draft(of(0o100000, { size: item.size }), item.key, item.content);
    case "sparse":
      return draft(of(0o100000, { size: item.size, flags: Flag.sparse }), item.key, item.content);
    case "empty":
      return draft(of(0o100000), item.key);
    case "directory":
      return draft(of(0o040000, { flags: (item.implicit ? Flag.implicit : 0) | (item.key % 3 === 0 ? Flag.opaque : 0) }), item.key);
    case "symlink":
      return draft(of(0o120000, { target: item.target }), item.key);
    case "device":
      return draft(of(0o020000, { rdevMajor: item.content, rdevMinor: item.attributes.uid }), item.key);
    case "fifo":
      return draft(of(0o010000), item.key);
    case "whiteout":
      return draft(of(0, { flags: Flag.whiteout }), item.key);
    case "link": {
      const leader = live.find(({ entry }) => (entry.mode & 0o170000) !== 0o040000 && entry.flags !== Flag.whiteout);
      if (leader === undefined) return draft(of(0o010000), item.key);
      leader.leads = leader;
      return { ...draft({ ...leader.entry, path }, item.key, leader.content), leads: leader };
    }
  }
}

interface Arrangement {
  readonly live: readonly Draft[];
  readonly shadowed: readonly Draft[];
  readonly diffId: Uint8Array;
  readonly indexed: boolean;
}

function arrange({ live, shadowed, diffId, indexed }: Arrangement): Layer {
  const implicit = ({ entry }: Draft): boolean => (entry.flags & Flag.implicit) !== 0;
  const byPath = (a: Draft, b: Draft): number => comparePaths(a.entry.path, b.entry.path);
  const tar = [...live, ...shadowed].filter((one) => !implicit(one)).sort((a, b) => a.key - b.key);
  const [root, ...others] = live as readonly [Draft, ...Draft[]];
  const inTar = tar.filter((one) => others.includes(one));
  const last = others.filter(implicit).sort((a, b) => (a.entry.path < b.entry.path ? -1 : 1));
  const drafts = [root, ...(indexed ? others.sort(byPath) : [...inTar, ...last]), ...tar.filter((one) => shadowed.includes(one))];
  const rows = new Map<number, number>();
  const offsets = new Map<Draft, number>();
  tar.forEach((one, k) => {
    if (one.content === -1 || (one.leads ?? one) !== one) return;
    if (!rows.has(one.content)) rows.set(one.content, rows.size);
    offsets.set(one, 512 * (k + 1));
  });
  const entries = drafts.map((one, number) => ({
    ...one.entry,
    flags: one.entry.flags | (number >= live.length ? Flag.shadowed : 0) | (one.leads === undefined ? 0 : Flag.hardLink),
    leader: one.leads === undefined ? -1 : drafts.findIndex(({ leads }) => leads === one.leads),
    chunk: one.content === -1 ? -1 : (rows.get(one.content) ?? -1),
    offset: offsets.get(one) ?? 0,
  }));
  const order = Uint32Array.from(tar, (one) => drafts.indexOf(one));
  const chunks = Buffer.concat([...rows.keys()].map((content) => Buffer.alloc(32, content + 1)));
  return { diffId, live: live.length, entries, order, chunks };
}

/** A layer of these entries, all of them live and in the tar as they stand, with as many chunks as they name. */
export function layerOf(entries: readonly SidecarEntry[]): Layer {
  const chunks = Math.max(0, ...entries.map(({ chunk }) => chunk + 1));
  return {
    diffId: Buffer.alloc(32, 0xd1),
    live: entries.length,
    entries,
    order: Uint32Array.from(entries.keys()),
    chunks: Buffer.concat(Array.from({ length: chunks }, (_, row) => Buffer.alloc(32, `${row}.`))),
  };
}
