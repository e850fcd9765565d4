/**
 * The last step of removing a layer that is out of sight: its chunks, those that no other layer uses. The layer's directory waits
 * in staging until all is done, so that a gc that was killed is finished by the next.
 */
import { rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES, type CatalogSession } from "../store/catalog-session.ts";
import { INODE_ID_BYTES } from "../store/inode.ts";
import { SIDECAR } from "../store/layers.ts";
import { chunkPath } from "../store/layout.ts";
import { bumpGeneration } from "../store/generation.ts";
import { Shards } from "../store/planted.ts";
import { FileLock } from "../system/file-lock.ts";
import type { GcContext } from "./context.ts";
import type { FindChunksRequest, Form, FoundChunks } from "./find-chunks.ts";

/** Inodes looked up, and removed, at once: some milliseconds. */
const GROUP = 256;
/** Longest time (ms) that the catalog and publishing are held at a stretch. */
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
  const total = { chunks: 0, bytes: 0 };
  const sweep: Sweep = { context, diffId, found, formsOf: formsByRow(found), shards: new Shards(), total };
  const count = found.rows.length / INODE_ROW_BYTES;
  for (let from = 0; from < count;) {
    signal?.throwIfAborted();
    from = await context.catalog.session((session) => sweepSlice(sweep, session, { from, count }), signal);
  }
  await context.catalog.session((session) => session.forgetLayer(diffId), signal);
  rmSync(directory, { recursive: true, force: true });
  return total;
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
  return await unlessDamaged(pool.run<FoundChunks>("gc/find-chunks", request), nothing);
}

async function readRows({ superblock, pool }: GcContext, directory: string): Promise<Uint8Array> {
  const { profile: native, owner } = superblock;
  return await unlessDamaged(
    pool.run<Uint8Array>("tree/inodes", { sidecar: join(directory, SIDECAR), native, owner }),
    new Uint8Array(0),
  );
}

async function unlessDamaged<T>(reading: Promise<T>, nothing: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
    return nothing;
  }
}

interface Sweep {
  readonly context: GcContext;
  readonly diffId: DiffId;
  readonly found: FoundChunks;
  readonly formsOf: ReadonlyMap<number, readonly Form[]>;
  readonly shards: Shards;
  readonly total: { chunks: number; bytes: number };
}

function formsByRow({ forms }: FoundChunks): Map<number, Form[]> {
  const byRow = new Map<number, Form[]>();
  for (const form of forms) {
    const others = byRow.get(form.row);
    if (others) others.push(form);
    else byRow.set(form.row, [form]);
  }
  return byRow;
}

/** As many rows as the time allows; the number of the next. While the catalog is ours no layer can begin to use what nobody uses. */
async function sweepSlice(sweep: Sweep, session: CatalogSession, { from, count }: { from: number; count: number }): Promise<number> {
  const { found, diffId, total } = sweep;
  const { rows } = found;
  const end = performance.now() + SLICE_MS / 2;
  const dead: number[] = [];
  let next = from;
  do {
    const to = Math.min(next + GROUP, count);
    const unused = await unusedRows(session, { rows, from: next, to }, new Set([diffId]));
    const removed = await removeRows(sweep, { unused, forms: await unusedForms(sweep, session, unused) });
    for (const row of removed) dead.push(row);
    next = unused[removed.length] ?? to;
  } while (next < count && performance.now() < end);
  const ids = dead.map((row) => idOf(rows, row));
  await session.forgetEdges(diffId, rows.subarray(from * INODE_ROW_BYTES, next * INODE_ROW_BYTES), ids);
  total.chunks += dead.length;
  for (const row of dead) total.bytes += sizeOf(rows, row);
  return next;
}

/** Under the sweep's lock, which publishing waits for: never longer than a slice. The rows, from the first, that the time sufficed for. */
async function removeRows(
  { context: { layout }, found, formsOf, shards }: Sweep,
  { unused, forms }: { unused: readonly number[]; forms: ReadonlySet<Form> },
): Promise<readonly number[]> {
  if (unused.length === 0) return [];
  using lock = await FileLock.acquire(layout.lock("sweep"));
  bumpGeneration(lock);
  const end = performance.now() + SLICE_MS;
  for (const [done, row] of unused.entries()) {
    if (done > 0 && performance.now() > end) return unused.slice(0, done);
    const path = chunkPath(layout.chunks, idOf(found.rows, row));
    shards.check(path);
    unlink(path);
    for (const ordinal of found.ordinals.get(row) ?? []) unlink(`${path}.${ordinal}`);
    for (const form of formsOf.get(row) ?? []) {
      if (!forms.has(form)) continue;
      for (const ordinal of form.ordinals) {
        const path = chunkPath(layout.chunks, form.id, ordinal);
        shards.check(path);
        unlink(path);
      }
    }
  }
  return unused;
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
async function unusedForms({ diffId, formsOf }: Sweep, session: CatalogSession, rows: readonly number[]): Promise<Set<Form>> {
  const forms = rows.flatMap((row) => formsOf.get(row) ?? []).sort((a, b) => Buffer.compare(a.id, b.id));
  if (forms.length === 0) return new Set();
  const unused = await session.unusedWithout(
    forms.map(({ id }) => id),
    new Set([diffId]),
  );
  return new Set(unused.map((index) => forms[index]!));
}

/** What an earlier removal that was cut off has unlinked is gone already. */
function unlink(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
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
