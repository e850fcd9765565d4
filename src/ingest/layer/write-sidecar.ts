/** Encodes a layer's sidecar: its live names, then the entries that are none. */
import { Flag, SidecarWriter, type SidecarAttributes } from "../../../format/index.ts";
import type { ByteString } from "../../bytes.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from "../../store/profile.ts";
import { normalizePath } from "../../tar/entry-path.ts";
import type { EntryRow, EntryTable } from "./entry-table.ts";
import type { Inode } from "./layer-inode.ts";
import type { NumberedContents } from "./number-contents.ts";
import type { LiveNames } from "./live-names.ts";

export interface SidecarInput {
  readonly diffId: Uint8Array;
  readonly indexed: boolean;
  readonly pathDepth: number;
  readonly entries: EntryTable;
  readonly live: LiveNames;
  /** Of entries whose names share an inode. */
  readonly inodes: ReadonlyMap<number, Inode>;
  readonly contents: NumberedContents;
}

const TYPES: Readonly<Record<EntryRow["kind"], number>> = {
  ignored: 0,
  file: S_IFREG,
  hardlink: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  char: S_IFCHR,
  block: S_IFBLK,
  fifo: S_IFIFO,
};

/** As containerd and docker make the parents that no entry names: 0755 root root; their time is settled when an image is composed. */
const IMPLIED: SidecarAttributes = {
  mode: S_IFDIR | 0o755,
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
  flags: Flag.implicit,
  target: "",
  leader: -1,
};

/** No number of a sidecar's entry. */
const NONE = 0xffff_ffff;

export interface WrittenSidecar {
  readonly bytes: Buffer;
  readonly entries: number;
}

export async function writeSidecar(input: SidecarInput): Promise<WrittenSidecar> {
  const { diffId, indexed, entries, live, contents } = input;
  const expected = entries.count + live.implied;
  const writer = new SidecarWriter({ diffId, indexed, live: live.count, expected });
  const order = new Uint32Array(entries.count).fill(NONE);
  const leaders = leadersOf(input);
  for (let number = 0; number < live.count; number++) {
    const row = live.rows[number]!;
    if (row >= 0) order[row] = number;
    writer.addNamed(live.directories[number]!, live.names[number]!, liveEntry(input, number, leaders));
  }
  for (let row = 0; row < entries.count; row++) {
    if (order[row] !== NONE) continue;
    order[row] = writer.count;
    writer.add({ ...ownEntry(input, row, Flag.shadowed), path: shadowedPath(input, row) });
  }
  return { entries: writer.count, bytes: await writer.finish({ order, chunks: contents.chunks }) };
}

/** Of each inode with several live names, the first name in file order. */
function leadersOf({ live, inodes }: SidecarInput): ReadonlyMap<Inode, number> {
  const first = new Map<Inode, number>();
  const leaders = new Map<Inode, number>();
  if (inodes.size === 0) return leaders;
  for (let number = 0; number < live.count; number++) {
    const inode = inodes.get(live.rows[number]!);
    if (!inode) continue;
    const leader = first.get(inode);
    if (leader === undefined) first.set(inode, number);
    else leaders.set(inode, leader);
  }
  return leaders;
}

function liveEntry(input: SidecarInput, number: number, leaders: ReadonlyMap<Inode, number>): SidecarAttributes {
  const row = input.live.rows[number]!;
  const flags = input.live.flags[number]!;
  if (row < 0) return { ...IMPLIED, flags };
  const inode = input.inodes.get(row);
  return inode ? linkedEntry(input, row, { inode, leader: leaders.get(inode) ?? -1 }) : ownEntry(input, row, flags);
}

/** An entry as its header has it: an ordinary name, a whiteout, or what has no name any more. */
function ownEntry({ entries, contents }: SidecarInput, row: number, flags: number): SidecarAttributes {
  const entry = entries.row(row);
  const { kind } = entry;
  const isSymlink = kind === "symlink" && flags !== Flag.whiteout;
  const chunk = contents.chunkRows[row]!;
  return {
    mode: flags === Flag.whiteout ? entry.mode : TYPES[kind] | (isSymlink && flags !== Flag.shadowed ? 0o777 : entry.mode),
    uid: entry.uid,
    gid: entry.gid,
    rdevMajor: entry.devMajor,
    rdevMinor: entry.devMinor,
    xattrs: entry.xattrs,
    mtime: entry.mtime,
    mtimeNs: entry.mtimeNs,
    size: entry.size,
    offset: chunk === -1 ? 0 : entry.offset,
    chunk,
    flags: flags | (entry.sparse ? Flag.sparse : 0),
    target: isSymlink ? entries.linkPath(row) : "",
    leader: -1,
  };
}

/** A live name of an inode that hard links have given further names, which later entries may have replaced. */
function linkedEntry(input: SidecarInput, row: number, { inode, leader }: { inode: Inode; leader: number }): SidecarAttributes {
  const brought = ownEntry(input, inode.row, 0);
  const { mode, uid, gid, mtime, mtimeNs, xattrs } = inode.attributes;
  const type = TYPES[input.entries.kind(inode.row)];
  const own = row === inode.row;
  return {
    ...brought,
    mode: type | (type === S_IFLNK ? 0o777 : mode),
    uid,
    gid,
    mtime,
    mtimeNs,
    xattrs,
    offset: own ? brought.offset : 0,
    flags: own ? brought.flags : 0,
    leader,
  };
}

function shadowedPath({ entries, pathDepth }: SidecarInput, row: number): ByteString {
  const path = entries.path(row);
  return entries.kind(row) === "ignored" ? path : normalizePath(path, entries.offset(row), { maxDepth: pathDepth });
}
