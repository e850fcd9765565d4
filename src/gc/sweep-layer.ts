/**
 * The last step of removing a layer that is out of sight: its chunks, those that no other layer uses. The layer's directory waits
 * in staging until all is done, so that a gc that was killed is finished by the next.
 */
import { rm } from "node:fs/promises";
import { existsSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES, type CatalogSession } from "../store/catalog-session.ts";
import { INODE_ID_BYTES } from "../store/inode.ts";
import { SIDECAR } from "../store/layers.ts";
import { chunkPath } from "../store/layout.ts";
import { PROFILES } from "../store/profile.ts";
import { FileLock } from "../system/file-lock.ts";
import type { GcContext } from "./context.ts";
import { bumpGeneration } from "../store/generation.ts";

/** Inodes looked up at once. */
const GROUP = 64;
/** Longest time (ms) that the catalog and publishing are held at a stretch. */
const SLICE_MS = 20;

export interface Swept {
  readonly chunks: number;
  /** Bytes of content. */
  readonly bytes: number;
}

interface LayerTable {
  /** As in the catalog. */
  readonly rows: Uint8Array;
  /** For each other profile the ids beside the rows. */
  readonly others: readonly Uint8Array[];
}

/** `directory` is the removed layer's, in staging. The caller has its `use` lock: nobody brings it back meanwhile. */
export async function sweepLayer(
  context: GcContext,
  { diffId, directory }: { diffId: DiffId; directory: string },
  signal?: AbortSignal,
): Promise<Swept> {
  const table = await readTable(context, directory);
  const total = { chunks: 0, bytes: 0 };
  const count = table.rows.length / INODE_ROW_BYTES;
  for (let from = 0; from < count;) {
    signal?.throwIfAborted();
    const slice = { from, count, table, diffId, total };
    from = await context.catalog.session((session) => sweepSlice(context, session, slice), signal);
  }
  await context.catalog.session((session) => session.forgetLayer(diffId), signal);
  await rm(directory, { recursive: true, force: true });
  return total;
}

/** What the removal of a layer gives once all of `gone` are gone, itself among them. Nothing is changed. */
export async function weighLayer(
  context: GcContext,
  { diffId, gone }: { diffId: DiffId; gone: ReadonlySet<DiffId> },
  signal?: AbortSignal,
): Promise<Swept> {
  const { rows } = await readTable(context, context.layout.layer(diffId));
  const total = { chunks: 0, bytes: 0 };
  const count = rows.length / INODE_ROW_BYTES;
  for (let from = 0; from < count;) {
    signal?.throwIfAborted();
    from = await context.catalog.session(async (session) => {
      let next = from;
      for (const start = performance.now(); next < count && performance.now() - start < SLICE_MS; next += GROUP) {
        for (const row of await unusedRows(session, { rows, from: next, to: Math.min(next + GROUP, count) }, gone)) {
          total.chunks++;
          total.bytes += sizeOf(rows, row);
        }
      }
      return next;
    }, signal);
  }
  return total;
}

function readTable(context: GcContext, directory: string): Promise<LayerTable> {
  const { profile: native, owner } = context.superblock;
  const request = { sidecar: join(directory, SIDECAR), native, owner, profiles: PROFILES.filter((profile) => profile !== native) };
  return context.pool.run<LayerTable>("tree/all-inodes", request);
}

interface Slice {
  readonly from: number;
  readonly count: number;
  readonly table: LayerTable;
  readonly diffId: DiffId;
  readonly total: { chunks: number; bytes: number };
}

/** As many rows as the time allows; the number of the next. */
async function sweepSlice(context: GcContext, session: CatalogSession, { from, count, table, diffId, total }: Slice): Promise<number> {
  const { rows } = table;
  const gone = new Set([diffId]);
  const dead: number[] = [];
  using sweep = await FileLock.acquire(context.layout.lock("sweep"));
  bumpGeneration(sweep);
  let next = from;
  for (const start = performance.now(); next < count && performance.now() - start < SLICE_MS;) {
    const to = Math.min(next + GROUP, count);
    const unused = await unusedRows(session, { rows, from: next, to }, gone);
    for (const row of unused) {
      removeChunks(context.layout.chunks, table, row);
      total.chunks++;
      total.bytes += sizeOf(rows, row);
    }
    dead.push(...unused);
    next = to;
  }
  await session.forgetEdges(
    diffId,
    rows.subarray(from * INODE_ROW_BYTES, next * INODE_ROW_BYTES),
    dead.map((row) => idOf(rows, row)),
  );
  return next;
}

async function unusedRows(
  session: CatalogSession,
  { rows, from, to }: { rows: Uint8Array; from: number; to: number },
  gone: ReadonlySet<DiffId>,
): Promise<number[]> {
  const ids = Array.from({ length: to - from }, (_, index) => idOf(rows, from + index));
  return (await session.unusedWithout(ids, gone)).map((index) => from + index);
}

function removeChunks(chunks: string, { rows, others }: LayerTable, row: number): void {
  removeChunk(chunks, idOf(rows, row));
  for (const table of others) removeChunk(chunks, table.subarray(row * INODE_ID_BYTES, (row + 1) * INODE_ID_BYTES));
}

/** The inode and its ordinals, which are made without gaps but for those that EMLINK moved. */
function removeChunk(chunks: string, id: Uint8Array): void {
  for (const base of [0, 1_000_000]) for (let ordinal = base; unlinked(chunkPath(chunks, id, ordinal)) || ordinal === 0; ordinal++);
}

/** Most names that are tried are not there: a look is cheaper than an error. */
function unlinked(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

function idOf(rows: Uint8Array, row: number): Uint8Array {
  const at = row * INODE_ROW_BYTES;
  return rows.subarray(at, at + INODE_ID_BYTES);
}

function sizeOf(rows: Uint8Array, row: number): number {
  const view = Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength);
  return view.readUIntLE(row * INODE_ROW_BYTES + INODE_ID_BYTES, 6);
}
