/**
 * The last step of removing a layer that is out of sight: its chunks, those that no other layer uses. The layer's directory waits
 * in staging until all is done, so that a gc that was killed is finished by the next.
 */
import { rm } from "node:fs/promises";
import { existsSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
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
const GROUP = 16;
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

/** Empty for a layer whose sidecar is damaged, or went first when the last removal was cut off: what only it used is left to fsck. */
async function readTable(context: GcContext, directory: string): Promise<LayerTable> {
  const { profile: native, owner } = context.superblock;
  const request = { sidecar: join(directory, SIDECAR), native, owner, profiles: PROFILES.filter((profile) => profile !== native) };
  try {
    return await context.pool.run<LayerTable>("tree/all-inodes", request);
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
    return { rows: new Uint8Array(0), others: [] };
  }
}

interface Slice {
  readonly from: number;
  readonly count: number;
  readonly table: LayerTable;
  readonly diffId: DiffId;
  readonly total: { chunks: number; bytes: number };
}

/** As many rows as the time allows; the number of the next. While the catalog is ours no layer can begin to use what nobody uses. */
async function sweepSlice(context: GcContext, session: CatalogSession, { from, count, table, diffId, total }: Slice): Promise<number> {
  const { rows } = table;
  const gone = new Set([diffId]);
  const dead: number[] = [];
  let next = from;
  for (const start = performance.now(); next < count && performance.now() - start < SLICE_MS / 2; next = Math.min(next + GROUP, count))
    dead.push(...(await unusedRows(session, { rows, from: next, to: Math.min(next + GROUP, count) }, gone)));
  const ids = dead.map((row) => idOf(rows, row));
  const forms = await unusedForms(context.layout.chunks, session, { table, dead, gone });
  await unlinkAll(context, [...ids, ...forms]);
  await session.forgetEdges(diffId, rows.subarray(from * INODE_ROW_BYTES, next * INODE_ROW_BYTES), ids);
  total.chunks += dead.length;
  for (const row of dead) total.bytes += sizeOf(rows, row);
  return next;
}

/** Under the sweep's lock, which publishing waits for: never longer than a slice. */
async function unlinkAll({ layout }: GcContext, ids: readonly Uint8Array[]): Promise<void> {
  for (let next = 0; next < ids.length;) {
    using sweep = await FileLock.acquire(layout.lock("sweep"));
    bumpGeneration(sweep);
    for (const start = performance.now(); next < ids.length && performance.now() - start < SLICE_MS; next++)
      removeChunk(layout.chunks, ids[next]!);
  }
}

async function unusedRows(
  session: CatalogSession,
  { rows, from, to }: { rows: Uint8Array; from: number; to: number },
  gone: ReadonlySet<DiffId>,
): Promise<number[]> {
  const ids = Array.from({ length: to - from }, (_, index) => idOf(rows, from + index));
  return (await session.unusedWithout(ids, gone)).map((index) => from + index);
}

/** What other profiles made of these rows' files; a form that happens to be the file of another layer is that layer's. */
async function unusedForms(
  chunks: string,
  session: CatalogSession,
  { table, dead, gone }: { table: LayerTable; dead: readonly number[]; gone: ReadonlySet<DiffId> },
): Promise<Uint8Array[]> {
  const forms = table.others.flatMap((ids) => dead.map((row) => ids.subarray(row * INODE_ID_BYTES, (row + 1) * INODE_ID_BYTES)));
  const present = forms.filter((id) => existsSync(chunkPath(chunks, id)) || existsSync(chunkPath(chunks, id, 1)));
  return (await session.unusedWithout(present, gone)).map((index) => present[index]!);
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
