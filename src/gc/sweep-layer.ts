/**
 * The last step of removing a layer that is out of sight: its chunks, those that no other layer uses. The layer's directory waits
 * in staging until all is done, so that a gc that was killed is finished by the next.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES } from "../store/catalog/catalog-session.ts";
import { SIDECAR } from "../store/layers.ts";
import type { GcContext } from "../inspect/store-parts.ts";
import type { FindChunksRequest, FoundChunks } from "./find-chunks.ts";
import { RowSweeper, sizeOf, unusedRows } from "./chunk-sweeper.ts";

/** Inodes looked up at once: some milliseconds. */
const GROUP = 256;
/** Longest time (ms) that the catalog is held at a stretch. */
const SLICE_MS = 20;

export interface Swept {
  readonly chunks: number;
  /** Bytes of content. */
  readonly bytes: number;
}

/** `directory` is the removed layer's, in staging. The caller has its `use` lock: nobody brings it back meanwhile. */
export async function sweepLayer(
  context: GcContext,
  { diffId, directory }: { diffId: DiffId; directory: string },
  signal?: AbortSignal,
): Promise<Swept> {
  const found = await find(context, directory);
  const sweeper = new RowSweeper(context, diffId, found);
  while (!sweeper.done) {
    signal?.throwIfAborted();
    await context.catalog.session((session) => sweeper.sweep(session), signal);
  }
  await context.catalog.session((session) => session.forgetLayer(diffId), signal);
  rmSync(directory, { recursive: true, force: true });
  return sweeper.total;
}

/** What the removal of a layer gives once all of `gone` are gone, itself among them. Nothing is changed. */
export async function weighLayer(
  context: GcContext,
  { diffId, gone }: { diffId: DiffId; gone: ReadonlySet<DiffId> },
  signal?: AbortSignal,
): Promise<Swept> {
  const rows = await readRows(context, context.layout.layer(diffId));
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

/** Nothing for a layer whose sidecar is damaged, or went first when the last removal was cut off: what only it used is left to fsck. */
async function find({ superblock, layout, pool }: GcContext, directory: string): Promise<FoundChunks> {
  const { profile: native, owner } = superblock;
  const request: FindChunksRequest = { sidecar: join(directory, SIDECAR), native, owner, chunks: layout.chunks };
  const nothing = { rows: new Uint8Array(0), ordinals: new Map(), forms: [] };
  return unlessDamaged(pool.run<FoundChunks>("gc/find-chunks", request), nothing);
}

async function readRows({ superblock, pool }: GcContext, directory: string): Promise<Uint8Array> {
  const { profile: native, owner } = superblock;
  return unlessDamaged(pool.run<Uint8Array>("tree/inodes", { sidecar: join(directory, SIDECAR), native, owner }), new Uint8Array(0));
}

async function unlessDamaged<T>(reading: Promise<T>, nothing: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
    return nothing;
  }
}
