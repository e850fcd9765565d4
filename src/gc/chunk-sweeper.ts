/** Deletes the chunks and catalog rows that only one layer used, in slices that are too short for other processes to notice. */
import type { DiffId } from "../image/digest.ts";
import type { GcParts } from "./gc-parts.ts";
import { INODE_ROW_BYTES, type CatalogSession } from "../store/catalog/catalog-session.ts";
import { bumpGeneration } from "../store/generation.ts";
import { INODE_ID_BYTES, inodeIdAt, type InodeId } from "../store/ids.ts";
import { chunkPath } from "../store/layout.ts";
import { Shards } from "../store/real-directory.ts";
import { FileLock } from "../system/file-lock.ts";
import type { Form, FoundChunks } from "./find-chunks.ts";
import { unlinkInParallel } from "./unlink-in-parallel.ts";

/** Inodes that are looked up together, and files that are unlinked together: some milliseconds. */
const GROUP = 128;
/** When the last group of a slice begins, and when unlinking ends (ms). The catalog and publishing are blocked for this time. */
const SLICE_MS = { begin: 10, end: 20 } as const;

export class ChunkSweeper {
  readonly #parts: GcParts;
  readonly #diffId: DiffId;
  readonly #found: FoundChunks;
  readonly #formsOf = new Map<number, Form[]>();
  readonly #shards = new Shards();
  /** The first unfinished row, and how many of its files are deleted: a row may have any number of ordinals. */
  #next = { row: 0, files: 0 };
  /** Deleted inodes, and the bytes of their content. */
  readonly total = { chunks: 0, bytes: 0 };

  constructor(parts: GcParts, diffId: DiffId, found: FoundChunks) {
    this.#parts = parts;
    this.#diffId = diffId;
    this.#found = found;
    for (const form of found.forms) {
      const others = this.#formsOf.get(form.row);
      if (others) others.push(form);
      else this.#formsOf.set(form.row, [form]);
    }
  }

  get done(): boolean {
    return this.#next.row * INODE_ROW_BYTES >= this.#found.rows.length;
  }

  /** Deletes as many rows as the time allows. While the session lasts, no layer can start to use an unused chunk. */
  async sweep(session: CatalogSession): Promise<void> {
    const { rows } = this.#found;
    const start = performance.now();
    const first = this.#next.row;
    const deleted: number[] = [];
    do {
      const to = Math.min(this.#next.row + GROUP, rows.length / INODE_ROW_BYTES);
      const unused = await unusedRows(session, { rows, from: this.#next.row, to }, new Set([this.#diffId]));
      const removed = await this.#remove(unused, await this.#unusedForms(session, unused), start + SLICE_MS.end);
      // the next session sees the layer that was announced
      if (removed === undefined) break;
      for (const row of unused.slice(0, removed.rows)) deleted.push(row);
      this.#next = { row: unused[removed.rows] ?? to, files: removed.files };
    } while (!this.done && performance.now() < start + SLICE_MS.begin);
    const ids = deleted.map((row) => idOf(rows, row));
    await session.forgetEdges(this.#diffId, rows.subarray(first * INODE_ROW_BYTES, this.#next.row * INODE_ROW_BYTES), ids);
    this.total.chunks += deleted.length;
    for (const row of deleted) this.total.bytes += sizeOf(rows, row);
  }

  /** Returns the forms of these rows that no other layer uses as its native inode. */
  async #unusedForms(session: CatalogSession, rows: readonly number[]): Promise<ReadonlySet<Form>> {
    const forms = rows.flatMap((row) => this.#formsOf.get(row) ?? []).sort((a, b) => Buffer.compare(a.id, b.id));
    if (forms.length === 0) return new Set();
    const ids = forms.map(({ id }) => id);
    return new Set((await session.unusedWithout(ids, new Set([this.#diffId]))).map((index) => forms[index]!));
  }

  /**
   * Deletes files under the sweep lock. Returns how many of these rows are finished, counted from the first, and how many files of the
   * next row are deleted. Returns undefined if a layer that uses one of the rows was announced since the catalog was read.
   */
  async #remove(unused: readonly number[], forms: ReadonlySet<Form>, until: number): Promise<{ rows: number; files: number } | undefined> {
    const { layout, pool, catalog } = this.#parts;
    if (unused.length === 0) return { rows: 0, files: 0 };
    const paths: string[] = [];
    /** For each complete row, the index after its last path. The last row may be incomplete. */
    const ends: number[] = [];
    const begun = unused[0] === this.#next.row ? this.#next.files : 0;
    for (let at = 0; at < unused.length && paths.length < GROUP; at++) {
      const files = this.#filesOf(unused[at]!, forms, at === 0 ? begun : 0);
      let file = files.next();
      for (; !file.done && paths.length < GROUP; file = files.next()) paths.push(file.value);
      if (file.done) ends.push(paths.length);
    }
    const ids = [...unused.map((row) => idOf(this.#found.rows, row)), ...[...forms].map(({ id }) => id)];
    using lock = await FileLock.acquire(layout.lock("sweep"));
    if (catalog.pending.among(ids).size > 0) return undefined;
    bumpGeneration(lock);
    const unlinked = await unlinkInParallel(pool, paths, until);
    const rows = ends.findLastIndex((end) => end <= unlinked) + 1;
    return { rows, files: unlinked - (ends[rows - 1] ?? -begun) };
  }

  /** Yields the files of a row, without the first `begun`. */
  *#filesOf(row: number, unused: ReadonlySet<Form>, begun: number): Generator<string, void> {
    const { rows, ordinals } = this.#found;
    const id = idOf(rows, row);
    const forms = (this.#formsOf.get(row) ?? []).filter((form) => unused.has(form));
    let skip = begun;
    for (const file of [{ id, ordinals: [0] }, { id, ordinals: ordinals.get(row) ?? [] }, ...forms]) {
      for (let at = Math.min(skip, file.ordinals.length); at < file.ordinals.length; at++) {
        const path = chunkPath(this.#parts.layout.chunks, file.id, file.ordinals[at]);
        this.#shards.check(path);
        yield path;
      }
      skip = Math.max(skip - file.ordinals.length, 0);
    }
  }
}

export interface RowRange {
  readonly rows: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** Returns the rows that no layer outside `removed` uses. */
export async function unusedRows(session: CatalogSession, { rows, from, to }: RowRange, removed: ReadonlySet<DiffId>): Promise<number[]> {
  const ids = Array.from({ length: to - from }, (_, index) => idOf(rows, from + index));
  return (await session.unusedWithout(ids, removed)).map((index) => from + index);
}

function idOf(rows: Uint8Array, row: number): InodeId {
  return inodeIdAt(rows, row * INODE_ROW_BYTES);
}

/** Returns the bytes of content of a row. */
export function sizeOf(rows: Uint8Array, row: number): number {
  const view = Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength);
  return view.readUIntLE(row * INODE_ROW_BYTES + INODE_ID_BYTES, 6);
}
