/**
 * The last step of removing a layer that is out of sight: its chunks, those that no other layer uses. The layer's directory waits
 * in staging until all is done, so that a gc that was killed is finished by the next.
 */
import { rm } from "node:fs/promises";
import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES } from "../store/catalog.ts";
import { INODE_ID_BYTES } from "../store/inode.ts";
import { SIDECAR } from "../store/layers.ts";
import { chunkPath } from "../store/layout.ts";
import { PROFILES } from "../store/profile.ts";
import { FileLock } from "../system/file-lock.ts";
import type { AllInodesRequest } from "../tree/tasks.ts";
import type { GcContext } from "./context.ts";
import { bumpGeneration } from "../store/generation.ts";

/** Inodes looked up in one LevelDB session: pulls wait for it. */
const SESSION = 1000;
/** Longest time (ms) that publishing is held off. */
const SLICE_MS = 20;

export interface Swept {
  readonly chunks: number;
  /** Bytes of content. */
  readonly bytes: number;
}

/** `directory` is the removed layer's, in staging. */
export async function sweepLayer(context: GcContext, diffId: DiffId, directory: string, signal?: AbortSignal): Promise<Swept> {
  const { profile: native, owner } = context.superblock;
  const request = { sidecar: join(directory, SIDECAR), native, owner, profiles: PROFILES.filter((profile) => profile !== native) };
  const total = { chunks: 0, bytes: 0 };
  const { rows, others } = await inodesOf(context, request);
  for (let at = 0; at < rows.length; at += SESSION * INODE_ROW_BYTES) {
    signal?.throwIfAborted();
    const range = { from: at / INODE_ROW_BYTES, rows: rows.subarray(at, at + SESSION * INODE_ROW_BYTES) };
    const swept = await sweepRange(context, { diffId, range, others }, signal);
    total.chunks += swept.chunks;
    total.bytes += swept.bytes;
  }
  await context.catalog.session((session) => session.forgetLayer(diffId), signal);
  await rm(directory, { recursive: true, force: true });
  return total;
}

interface Inodes {
  readonly rows: Uint8Array;
  readonly others: readonly Uint8Array[];
}

/** None of a layer whose sidecar is damaged, or went first when the last removal was cut off: what only it used is left to fsck. */
async function inodesOf(context: GcContext, request: AllInodesRequest): Promise<Inodes> {
  try {
    return await context.pool.run<Inodes>("tree/all-inodes", request);
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
    return { rows: new Uint8Array(0), others: [] };
  }
}

interface Range {
  /** Number of the first row. */
  readonly from: number;
  readonly rows: Uint8Array;
}

function sweepRange(
  context: GcContext,
  { diffId, range, others }: { diffId: DiffId; range: Range; others: readonly Uint8Array[] },
  signal?: AbortSignal,
): Promise<Swept> {
  return context.catalog.session(async (session) => {
    const dead: number[] = [];
    const count = range.rows.length / INODE_ROW_BYTES;
    for (let row = 0; row < count; row++) if (await session.isLastUser(idOf(range.rows, row), diffId)) dead.push(row);
    const swept = { chunks: 0, bytes: 0 };
    for (let next = 0; next < dead.length;) {
      using sweep = await FileLock.acquire(context.layout.lock("sweep"), { signal });
      bumpGeneration(sweep);
      for (const start = performance.now(); next < dead.length && performance.now() - start < SLICE_MS; next++) {
        const row = dead[next]!;
        removeChunk(context.layout.chunks, idOf(range.rows, row));
        for (const table of others)
          removeChunk(context.layout.chunks, table.subarray((range.from + row) * INODE_ID_BYTES).subarray(0, INODE_ID_BYTES));
        swept.chunks++;
        swept.bytes += sizeOf(range.rows, row);
      }
    }
    await session.forgetEdges(diffId, range.rows);
    return swept;
  }, signal);
}

/** The inode and its ordinals, which are made without gaps but for those that EMLINK moved. */
function removeChunk(chunks: string, id: Uint8Array): void {
  for (const base of [0, 1_000_000]) for (let ordinal = base; unlinked(chunkPath(chunks, id, ordinal)) || ordinal === 0; ordinal++);
}

function unlinked(path: string): boolean {
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
