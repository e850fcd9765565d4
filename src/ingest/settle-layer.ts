/**
 * The last step of an ingest: the parts of all slabs become the layer's sidecar and headers, in a staged directory that is
 * ready to be published.
 */
import { closeSync, createReadStream, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { comparePaths, Flag, SidecarWriter, type SidecarEntry } from "../../format/index.ts";
import { encodeHeadersStart } from "../../format/headers-encoder.ts";
import { showBytes, type ByteString } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES } from "../store/catalog-session.ts";
import { HEADERS, SIDECAR } from "../store/layers.ts";
import { chunkPath } from "../store/layout.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from "../store/profile.ts";
import { normalizePath } from "../tar/entry-path.ts";
import type { ChunkWriter } from "./chunk-writer.ts";
import { layerLimitError, type LayerLimits } from "./layer-limits.ts";
import { LayerModel, type Inode, type Node } from "./layer-model.ts";
import { readPart, type Part, type PartRow, type StoredFile } from "./part.ts";

export interface SettleRequest {
  readonly diffId: DiffId;
  /** In sequence. */
  readonly parts: readonly Part[];
  /** An existing, empty directory in staging. */
  readonly directory: string;
  readonly buildIndex: boolean;
  readonly limits: Pick<LayerLimits, "pathDepth" | "metadataBytes">;
  /** chunks/ of the store. */
  readonly chunks: string;
}

export interface SettledLayer {
  readonly entries: number;
  readonly sidecarBytes: number;
  /** Rows for the catalog: every inode that the layer uses. */
  readonly inodes: Uint8Array<ArrayBuffer>;
}

/** A name of the finished layer, or an entry that is no more. */
interface Placed {
  readonly path: string;
  readonly node: Node | undefined;
  readonly flags: number;
  /** The entry behind it, or -1. */
  readonly row: number;
}

/** Linux: PATH_MAX without its NUL. */
const MAX_PATH = 4095;

export async function settleLayer(request: SettleRequest, writer: ChunkWriter): Promise<SettledLayer> {
  const diffId = Buffer.from(request.diffId.slice(7), "hex");
  writeHeaders(join(request.directory, HEADERS), diffId, request.parts);
  const rows = request.parts.flatMap((part) => [...readPart(part)]);
  const model = new LayerModel(request.limits);
  for (const row of rows) model.add(row);
  model.finish();
  const live = collect(model.root, rows, request.limits.metadataBytes);
  live.sort(request.buildIndex ? (a, b) => comparePaths(a.path, b.path) : byRow);
  await restoreAltered(live, request.chunks, writer);
  const placed = [...live, ...shadowedOf(rows, live, request.limits.pathDepth)];
  const sidecar = await writeSidecar(placed, { rows, diffId, live: live.length, indexed: request.buildIndex });
  writeWhole(join(request.directory, SIDECAR), [sidecar]);
  return { entries: placed.length, sidecarBytes: sidecar.length, inodes: inodeRows(rows, placed) };
}

/** Every live name, the root first among equals; whiteouts that a name of this layer makes needless are left out. */
function collect(root: Node, rows: readonly PartRow[], metadataBytes: number): Placed[] {
  let bytes = 0;
  const live: Placed[] = [{ path: "", node: root, flags: directoryFlags(root), row: root.row }];
  const todo: { path: string; node: Node }[] = [{ path: "", node: root }];
  for (let at = todo.pop(); at; at = todo.pop()) {
    const prefix = at.path === "" ? "" : `${at.path}/`;
    // a symlink near the root makes short names long: what the archive spells costs nothing there
    bytes += prefix.length * ((at.node.children?.size ?? 0) + (at.node.whiteouts?.size ?? 0));
    if (bytes > metadataBytes) {
      throw layerLimitError("LIMIT_METADATA_BYTES", `has paths of ${bytes} bytes`, { limit: "metadataBytes", maximum: metadataBytes });
    }
    for (const [name, row] of at.node.whiteouts ?? []) {
      const same = at.node.child(name);
      if (same) same.opaque ||= same.isDirectory;
      else if (!at.node.opaque) live.push({ path: prefix + name, node: undefined, flags: Flag.whiteout, row });
    }
    for (const node of at.node.children?.values() ?? []) {
      const path = prefix + node.name;
      if (path.length > MAX_PATH) throw tooLong(path, rows[node.row]);
      live.push({ path, node, flags: node.isDirectory ? directoryFlags(node) : 0, row: node.row });
      if (node.children || node.whiteouts) todo.push({ path, node });
    }
  }
  return live;
}

function tooLong(path: string, row: PartRow | undefined): ShaleError<"TAR_INVALID"> {
  const entry = showBytes(path as ByteString, 300);
  const message = `the layer's entry "${entry}" has, its symlinks followed, a path of more than ${MAX_PATH} bytes; the image is malformed`;
  return new ShaleError("TAR_INVALID", message, { offset: row?.offset ?? 0, entry });
}

function directoryFlags(node: Node): number {
  return (node.opaque ? Flag.opaque : 0) | (node.row < 0 ? Flag.implicit : 0);
}

/** Tar order, the root before all, implied directories last. */
function byRow(a: Placed, b: Placed): number {
  if (a.path === "" || b.path === "") return a.path.length - b.path.length;
  const rank = (placed: Placed): number => (placed.row < 0 ? Number.MAX_SAFE_INTEGER : placed.row);
  return rank(a) - rank(b) || (a.path < b.path ? -1 : 1);
}

/** Entries that later ones replaced, markers, and what is no file at all, in tar order. */
function shadowedOf(rows: readonly PartRow[], live: readonly Placed[], pathDepth: number): Placed[] {
  const isLive = new Uint8Array(rows.length);
  for (const { row } of live) if (row >= 0) isLive[row] = 1;
  const shadowed: Placed[] = [];
  rows.forEach((entry, row) => {
    if (isLive[row]) return;
    const path = entry.kind === "ignored" ? entry.path : normalizePath(entry.path, entry.offset, { maxDepth: pathDepth });
    shadowed.push({ path, node: undefined, flags: Flag.shadowed, row });
  });
  return shadowed;
}

interface SidecarInput {
  readonly rows: readonly PartRow[];
  readonly diffId: Uint8Array;
  readonly live: number;
  readonly indexed: boolean;
}

async function writeSidecar(placed: readonly Placed[], { rows, diffId, live, indexed }: SidecarInput): Promise<Buffer> {
  const writer = new SidecarWriter({ diffId, indexed, live, expected: placed.length });
  const chunks = chunkTable(rows);
  const leaders = leadersOf(placed);
  for (const entry of placed) {
    const inode = entry.node?.inode;
    const leader = (inode && leaders.get(inode)) ?? -1;
    const row = rows[entry.row];
    writer.add(inode ? liveEntry(entry, inode, { row, chunks, leader }) : otherEntry(entry, row!, chunks));
  }
  const order = new Uint32Array(rows.length);
  placed.forEach(({ row }, index) => {
    if (row >= 0) order[row] = index;
  });
  return writer.finish({ order, chunks: Buffer.concat([...chunks.values()].map(({ bytes }) => bytes)) });
}

type ChunkTable = ReadonlyMap<string, { readonly row: number; readonly bytes: Uint8Array }>;

function chunkTable(rows: readonly PartRow[]): ChunkTable {
  const table = new Map<string, { row: number; bytes: Uint8Array }>();
  for (const { stored } of rows) {
    if (!stored) continue;
    const key = keyOf(stored.chunk);
    if (!table.has(key)) table.set(key, { row: table.size, bytes: stored.chunk });
  }
  return table;
}

/** Of each inode with several live names, the first name in file order. */
function leadersOf(placed: readonly Placed[]): Map<Inode, number> {
  const first = new Map<Inode, number>();
  const leaders = new Map<Inode, number>();
  placed.forEach(({ node }, index) => {
    const inode = node?.inode;
    if (!inode || inode.kind === "directory") return;
    const leader = first.get(inode);
    if (leader === undefined) first.set(inode, index);
    else leaders.set(inode, leader);
  });
  return leaders;
}

const TYPES: Readonly<Record<Inode["kind"], number>> = {
  file: S_IFREG,
  directory: S_IFDIR,
  symlink: S_IFLNK,
  char: S_IFCHR,
  block: S_IFBLK,
  fifo: S_IFIFO,
};

function liveEntry(placed: Placed, inode: Inode, about: { row: PartRow | undefined; chunks: ChunkTable; leader: number }): SidecarEntry {
  const { row, chunks, leader } = about;
  return {
    path: placed.path,
    mode: TYPES[inode.kind] | inode.mode,
    uid: inode.uid,
    gid: inode.gid,
    rdevMajor: inode.devMajor,
    rdevMinor: inode.devMinor,
    xattrs: inode.xattrs,
    mtime: inode.mtime,
    mtimeNs: inode.mtimeNs,
    size: inode.size,
    offset: row?.stored ? row.offset : 0,
    chunk: inode.stored ? chunks.get(keyOf(inode.stored.chunk))!.row : -1,
    flags: placed.flags | (row?.sparse ? Flag.sparse : 0),
    target: inode.target,
    leader,
  };
}

/** A whiteout, or an entry that has no name of its own any more. */
function otherEntry(placed: Placed, row: PartRow, chunks: ChunkTable): SidecarEntry {
  const isWhiteout = placed.flags === Flag.whiteout;
  const kind = row.kind === "hardlink" ? "file" : row.kind;
  const type = isWhiteout || kind === "ignored" ? 0 : TYPES[kind];
  return {
    path: placed.path,
    mode: type | row.mode,
    uid: row.uid,
    gid: row.gid,
    rdevMajor: row.devMajor,
    rdevMinor: row.devMinor,
    xattrs: row.xattrs,
    mtime: row.mtime,
    mtimeNs: row.mtimeNs,
    size: row.size,
    offset: row.stored ? row.offset : 0,
    chunk: row.stored ? chunks.get(keyOf(row.stored.chunk))!.row : -1,
    flags: placed.flags | (row.sparse ? Flag.sparse : 0),
    target: type === S_IFLNK ? row.linkPath : "",
    leader: -1,
  };
}

/** The content of inodes whose attributes a hard link changed is stored once more, under the attributes they ended with. */
async function restoreAltered(live: readonly Placed[], chunks: string, writer: ChunkWriter): Promise<void> {
  for (const { node } of live) {
    const inode = node?.inode;
    if (!inode?.altered || !inode.stored) continue;
    inode.altered = false;
    const stream = writer.stream(inode);
    try {
      for await (const piece of createReadStream(chunkPath(chunks, inode.stored.inode))) stream.write(piece as Buffer);
    } catch (error) {
      stream.discard();
      throw error;
    }
    inode.stored = stream.finish();
  }
}

/** What the sidecar alone says too: of a live name the inode that it ended with, of all else the one that its entry brought. */
function inodeRows(rows: readonly PartRow[], placed: readonly Placed[]): Uint8Array<ArrayBuffer> {
  const unique = new Map<string, { stored: StoredFile; size: number }>();
  for (const { node, row } of placed) {
    const { stored, size } = node?.inode ?? rows[row] ?? { stored: undefined, size: 0 };
    if (stored) unique.set(keyOf(stored.inode), { stored, size });
  }
  const table = Buffer.from(new ArrayBuffer(unique.size * INODE_ROW_BYTES));
  let at = 0;
  for (const { stored, size } of unique.values()) {
    table.set(stored.inode, at);
    table.writeUIntLE(size, at + INODE_ROW_BYTES - 6, 6);
    at += INODE_ROW_BYTES;
  }
  return table as Uint8Array as Uint8Array<ArrayBuffer>;
}

function keyOf(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1") as ByteString;
}

function writeHeaders(path: string, diffId: Uint8Array, parts: readonly Part[]): void {
  writeWhole(path, [encodeHeadersStart(diffId), ...parts.map(({ frame }) => frame)]);
}

function writeWhole(path: string, pieces: readonly Uint8Array[]): void {
  const fd = openSync(path, "wx", 0o600);
  try {
    for (const piece of pieces) for (let done = 0; done < piece.length;) done += writeSync(fd, piece, done);
  } finally {
    closeSync(fd);
  }
}
