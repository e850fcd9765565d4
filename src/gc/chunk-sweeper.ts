/** Removes what only one layer used from chunks/ and the catalog, row by row, in slices that others do not notice. */
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES, type CatalogSession } from "../store/catalog/catalog-session.ts";
import { bumpGeneration } from "../store/generation.ts";
import { INODE_ID_BYTES } from "../store/inode.ts";
import { chunkPath } from "../store/layout.ts";
import { Shards } from "../store/real-directory.ts";
import { FileLock } from "../system/file-lock.ts";
import type { GcContext } from "../inspect/store-parts.ts";
import type { Form, FoundChunks } from "./find-chunks.ts";
import { unlinkTogether } from "./unlink-in-parallel.ts";

/** Inodes looked up, and files unlinked, at once: some milliseconds. */
const GROUP = 128;
/** When no other group is begun, and when unlinking ends (ms): as long are the catalog and publishing held at a stretch. */
const SLICE_MS = { begin: 10, end: 20 } as const;

export class RowSweeper {
  readonly #context: GcContext;
  readonly #diffId: DiffId;
  readonly #found: FoundChunks;
  readonly #formsOf = new Map<number, Form[]>();
  readonly #shards = new Shards();
  /** The first row that is not done, and how many of its files are gone: it may have any number of ordinals. */
  #next = { row: 0, files: 0 };
  /** Inodes, and bytes of content. */
  readonly total = { chunks: 0, bytes: 0 };

  constructor(context: GcContext, diffId: DiffId, found: FoundChunks) {
    this.#context = context;
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

  /** As many rows as the time allows. While the catalog is ours no layer can begin to use what nobody uses. */
  async sweep(session: CatalogSession): Promise<void> {
    const { rows } = this.#found;
    const start = performance.now();
    const first = this.#next.row;
    const dead: number[] = [];
    do {
      const to = Math.min(this.#next.row + GROUP, rows.length / INODE_ROW_BYTES);
      const unused = await unusedRows(session, { rows, from: this.#next.row, to }, new Set([this.#diffId]));
      const removed = await this.#remove(unused, await this.#unusedForms(session, unused), start + SLICE_MS.end);
      // the next session knows of the layer that has come
      if (removed === undefined) break;
      for (const row of unused.slice(0, removed.rows)) dead.push(row);
      this.#next = { row: unused[removed.rows] ?? to, files: removed.files };
    } while (!this.done && performance.now() < start + SLICE_MS.begin);
    const ids = dead.map((row) => idOf(rows, row));
    await session.forgetEdges(this.#diffId, rows.subarray(first * INODE_ROW_BYTES, this.#next.row * INODE_ROW_BYTES), ids);
    this.total.chunks += dead.length;
    for (const row of dead) this.total.bytes += sizeOf(rows, row);
  }

  /** What other profiles made of these rows' files; a form that happens to be the file of another layer is that layer's. */
  async #unusedForms(session: CatalogSession, rows: readonly number[]): Promise<ReadonlySet<Form>> {
    const forms = rows.flatMap((row) => this.#formsOf.get(row) ?? []).sort((a, b) => Buffer.compare(a.id, b.id));
    if (forms.length === 0) return new Set();
    const ids = forms.map(({ id }) => id);
    return new Set((await session.unusedWithout(ids, new Set([this.#diffId]))).map((index) => forms[index]!));
  }

  /**
   * Under the sweep's lock. How many of these rows, from the first, are gone, and how many files of the one after them; undefined when a
   * layer that uses some of them was announced since the catalog was read.
   */
  async #remove(unused: readonly number[], forms: ReadonlySet<Form>, until: number): Promise<{ rows: number; files: number } | undefined> {
    const { layout, pool, catalog } = this.#context;
    if (unused.length === 0) return { rows: 0, files: 0 };
    const paths: string[] = [];
    /** Where the paths of each row end, but of the last if that has more. */
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
    const gone = await unlinkTogether(pool, paths, until);
    const rows = ends.findLastIndex((end) => end <= gone) + 1;
    return { rows, files: gone - (ends[rows - 1] ?? -begun) };
  }

  /** Without the first `begun`. */
  *#filesOf(row: number, unused: ReadonlySet<Form>, begun: number): Generator<string, void> {
    const { rows, ordinals } = this.#found;
    const id = idOf(rows, row);
    const forms = (this.#formsOf.get(row) ?? []).filter((form) => unused.has(form));
    let skip = begun;
    for (const file of [{ id, ordinals: [0] }, { id, ordinals: ordinals.get(row) ?? [] }, ...forms]) {
      for (let at = Math.min(skip, file.ordinals.length); at < file.ordinals.length; at++) {
        const path = chunkPath(this.#context.layout.chunks, file.id, file.ordinals[at]);
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

/** The rows that no layer uses but `gone`. */
export async function unusedRows(session: CatalogSession, { rows, from, to }: RowRange, gone: ReadonlySet<DiffId>): Promise<number[]> {
  const ids = Array.from({ length: to - from }, (_, index) => idOf(rows, from + index));
  return (await session.unusedWithout(ids, gone)).map((index) => from + index);
}

function idOf(rows: Uint8Array, row: number): Uint8Array {
  const at = row * INODE_ROW_BYTES;
  return rows.subarray(at, at + INODE_ID_BYTES);
}

/** Bytes of content. */
export function sizeOf(rows: Uint8Array, row: number): number {
  const view = Buffer.from(rows.buffer, rows.byteOffset, rows.byteLength);
  return view.readUIntLE(row * INODE_ROW_BYTES + INODE_ID_BYTES, 6);
}
