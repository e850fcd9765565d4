/**
 * The last step of removing a layer: deletes the chunks that no other layer uses. The layer's directory stays in staging until all of
 * them are deleted, so the next gc finishes the work of one that was killed.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import type { GcParts } from "./gc-parts.ts";
import { INODE_ROW_BYTES } from "../store/catalog/catalog-session.ts";
import { SIDECAR } from "../store/layout.ts";
import { FileLock } from "../system/file-lock.ts";
import { ChunkSweeper, sizeOf, unusedRows } from "./chunk-sweeper.ts";
import type { FindChunksRequest, FoundChunks } from "./find-chunks.ts";

/** Inodes that are looked up together: some milliseconds. */
const GROUP = 256;
/** Longest time (ms) that one session of the catalog takes. */
const SLICE_MS = 20;

export interface Swept {
  readonly chunks: number;
  /** Bytes of content. */
  readonly bytes: number;
}

/**
 * `directory` is the removed layer's directory in staging. The caller holds the layer's `use` lock, so no pull ingests it meanwhile. The
 * layer's lock file is deleted: one that stays shows that an ingest was interrupted.
 */
export async function sweepLayer(
  parts: GcParts,
  { diffId, directory }: { diffId: DiffId; directory: string },
  signal?: AbortSignal,
): Promise<Swept> {
  const found = await find(parts, directory);
  const sweeper = new ChunkSweeper(parts, diffId, found);
  while (!sweeper.done) {
    signal?.throwIfAborted();
    await parts.catalog.session((session) => sweeper.sweep(session), signal);
  }
  await parts.catalog.session((session) => session.forgetLayer(diffId), signal);
  rmSync(directory, { recursive: true, force: true });
  FileLock.try(parts.layout.layerLock(diffId))?.delete();
  return sweeper.total;
}

/** Returns what removing the layer frees if all layers of `removed`, which includes it, are removed. Changes nothing. */
export async function weighLayer(
  parts: GcParts,
  { diffId, removed }: { diffId: DiffId; removed: ReadonlySet<DiffId> },
  signal?: AbortSignal,
): Promise<Swept> {
  const rows = (await readRows(parts, parts.layers.sidecarPath(diffId))) ?? new Uint8Array(0);
  const total = { chunks: 0, bytes: 0 };
  const count = rows.length / INODE_ROW_BYTES;
  for (let from = 0; from < count;) {
    signal?.throwIfAborted();
    from = await parts.catalog.session(async (session) => {
      let next = from;
      for (const start = performance.now(); next < count && performance.now() - start < SLICE_MS; next += GROUP) {
        for (const row of await unusedRows(session, { rows, from: next, to: Math.min(next + GROUP, count) }, removed)) {
          total.chunks++;
          total.bytes += sizeOf(rows, row);
        }
      }
      return next;
    }, signal);
  }
  return total;
}

/** Finds nothing if the sidecar is damaged or an interrupted removal has deleted it: then fsck removes the chunks. */
async function find({ superblock, layout, pool }: GcParts, directory: string): Promise<FoundChunks> {
  const { profile: native, owner } = superblock;
  const request: FindChunksRequest = { sidecar: join(directory, SIDECAR), native, owner, chunks: layout.chunks };
  try {
    return await pool.run("gc/find-chunks", request);
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
    return { rows: new Uint8Array(0), ordinals: new Map(), forms: [] };
  }
}

/** Returns the catalog rows of a layer. Warns and returns undefined if its sidecar is damaged: then it must be fetched again anyway. */
export async function readRows({ superblock, pool, warn }: GcParts, sidecar: string): Promise<Uint8Array | undefined> {
  const { profile: native, owner } = superblock;
  try {
    return await pool.run("tree/inodes", { sidecar, native, owner });
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
    warn(error.code, error.message);
    return undefined;
  }
}
