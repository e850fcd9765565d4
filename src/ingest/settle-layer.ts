/**
 * The last step of an ingest: the parts of all slabs become the layer's sidecar and headers, in a staged directory that is
 * ready to be published.
 */
import { closeSync, createReadStream, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { Flag, SidecarWriter, type SidecarEntry } from "../../format/index.ts";
import { encodeHeadersStart } from "../../format/headers-encoder.ts";
import type { ByteString } from "../bytes.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES } from "../store/catalog-session.ts";
import { HEADERS, SIDECAR } from "../store/layers.ts";
import { chunkPath } from "../store/layout.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG } from "../store/profile.ts";
import type { ChunkWriter } from "./chunk-writer.ts";
import { EntryTable, type EntryRow } from "./entry-table.ts";
import { fileAttributes } from "./ingest-slab.ts";
import type { Inode } from "./layer-inode.ts";
import type { LayerLimits } from "./layer-limits.ts";
import { LayerModel } from "./layer-model.ts";
import { placeLive, placeShadowed, type Placed } from "./place-entries.ts";
import { placedEntries } from "./placed-entries.ts";
import type { Part, StoredFile } from "./part.ts";

export interface SettleRequest {
  readonly diffId: DiffId;
  /** In sequence. */
  readonly parts: readonly Part[];
  /** An existing, empty directory in staging. */
  readonly directory: string;
  /** The layer's tree in staging. */
  readonly tree: string | undefined;
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
  /** What the staged tree has: see TreeTask. Undefined: none was asked for, or it is of no use. */
  readonly placed: SharedArrayBuffer | undefined;
}

export async function settleLayer(request: SettleRequest, writer: ChunkWriter): Promise<SettledLayer> {
  const diffId = Buffer.from(request.diffId.slice(7), "hex");
  writeHeaders(join(request.directory, HEADERS), diffId, request.parts);
  const rows = new EntryTable(request.parts);
  const model = new LayerModel(request.limits);
  for (const row of rows) model.add(row);
  model.finish();
  const live = placeLive(model.root, rows, request);
  const placed = request.tree === undefined ? undefined : placedEntries(live, { rows, model, tree: request.tree });
  await restoreAltered(live, request.chunks, writer);
  const all = [...live, ...placeShadowed(rows, live, request.limits.pathDepth)];
  const sidecar = await writeSidecar(all, { rows, diffId, live: live.length, indexed: request.buildIndex });
  writeWhole(join(request.directory, SIDECAR), [sidecar]);
  return { entries: all.length, sidecarBytes: sidecar.length, inodes: inodeRows(rows, all), placed };
}

interface SidecarInput {
  readonly rows: EntryTable;
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
    const row = entry.row < 0 ? undefined : rows.row(entry.row);
    writer.add(inode ? liveEntry(entry, inode, { row, chunks, leader }) : otherEntry(entry, row!, chunks));
  }
  const order = new Uint32Array(rows.count);
  placed.forEach(({ row }, index) => {
    if (row >= 0) order[row] = index;
  });
  return writer.finish({ order, chunks: chunks.bytes });
}

/** Chunk ids in the order in which entries first use them. */
interface ChunkTable {
  readonly rows: ReadonlyMap<ByteString, number>;
  readonly bytes: Buffer;
}

function chunkTable(entries: EntryTable): ChunkTable {
  const rows = new Map<ByteString, number>();
  for (const { stored } of entries) {
    if (!stored) continue;
    const key = keyOf(stored.chunk);
    if (!rows.has(key)) rows.set(key, rows.size);
  }
  const bytes = Buffer.allocUnsafe(rows.size * 32);
  for (const [key, row] of rows) bytes.write(key, row * 32, "latin1");
  return { rows, bytes };
}

function chunkRow({ rows }: ChunkTable, stored: StoredFile | undefined): number {
  return stored ? rows.get(keyOf(stored.chunk))! : -1;
}

/** Of each inode with several live names, the first name in file order. */
function leadersOf(placed: readonly Placed[]): Map<Inode, number> {
  const first = new Map<Inode, number>();
  const leaders = new Map<Inode, number>();
  placed.forEach(({ node }, index) => {
    const inode = node?.inode;
    if (!inode?.linked) return;
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

function liveEntry(placed: Placed, inode: Inode, about: { row: EntryRow | undefined; chunks: ChunkTable; leader: number }): SidecarEntry {
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
    chunk: chunkRow(chunks, inode.stored),
    flags: placed.flags | (row?.sparse ? Flag.sparse : 0),
    target: inode.target,
    leader,
  };
}

/** A whiteout, or an entry that has no name of its own any more. */
function otherEntry(placed: Placed, row: EntryRow, chunks: ChunkTable): SidecarEntry {
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
    chunk: chunkRow(chunks, row.stored),
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
    const stream = writer.stream(fileAttributes(inode));
    try {
      for await (const piece of createReadStream(chunkPath(chunks, inode.stored.inode))) stream.write(piece as Buffer);
    } catch (error) {
      stream.discard();
      throw error;
    }
    inode.restore(stream.finish());
  }
}

/** What the sidecar alone says too: of a live name the inode that it ended with, of all else the one that its entry brought. */
function inodeRows(rows: EntryTable, placed: readonly Placed[]): Uint8Array<ArrayBuffer> {
  const unique = new Map<ByteString, number>();
  for (const { node, row } of placed) {
    const { stored, size } = node?.inode ?? rows.row(row);
    if (stored) unique.set(keyOf(stored.inode), size);
  }
  const table = Buffer.from(new ArrayBuffer(unique.size * INODE_ROW_BYTES));
  let at = 0;
  for (const [inode, size] of unique) {
    table.write(inode, at, "latin1");
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
