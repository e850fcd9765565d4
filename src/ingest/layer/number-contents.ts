/** The distinct contents of a layer: its chunks for the sidecar, its inodes for the catalog. */
import type { Unshared } from "../../bytes.ts";
import { INODE_ID_BYTES } from "../../store/ids.ts";
import { INODE_ROW_BYTES } from "../../store/catalog/catalog-session.ts";
import type { EntryTable } from "./entry-table.ts";
import { IdTable } from "./id-table.ts";
import type { Inode } from "./layer-inode.ts";
import { DOUBLES, PART_INODE_BYTES, WORDS } from "./part.ts";

export interface NumberedContents {
  /** Of each entry the row of its chunk, or -1. */
  readonly chunkRows: Int32Array;
  /** Chunk ids in the order in which entries first use them. */
  readonly chunks: Buffer;
  /** Rows for the catalog: every inode that the layer uses. */
  readonly inodes: Unshared<Uint8Array>;
}

const CHUNK_WORDS = 8;
const INODE_WORDS: number = INODE_ID_BYTES / 4;
const CONTENT_WORDS: number = PART_INODE_BYTES / 4;

/** Inodes whose content is stored once more, and those of their names that their own entry still has: what it brought is not used. */
export interface RestoredInodes {
  readonly inodes: readonly Inode[];
  readonly rows: ReadonlySet<number>;
}

export function numberContents(entries: EntryTable, restored: RestoredInodes): NumberedContents {
  const expected = entries.parts.reduce((sum, { inodes }) => sum + inodes.length / PART_INODE_BYTES, restored.inodes.length);
  const chunks = new IdTable(CHUNK_WORDS, expected);
  const inodes = new IdTable(INODE_WORDS, expected);
  const sizes: number[] = [];
  const chunkRows = new Int32Array(entries.count).fill(-1);
  let row = 0;
  for (const part of entries.parts) {
    const ids = new Uint32Array(part.inodes.buffer, part.inodes.byteOffset, part.inodes.length / 4);
    for (let at = 0; at < part.count; at++, row++) {
      const content = part.words[at * WORDS + 5]!;
      if (content === 0) continue;
      const id = (content - 1) * CONTENT_WORDS;
      chunkRows[row] = chunks.add(ids, id);
      if (!restored.rows.has(row) && inodes.add(ids, id + CHUNK_WORDS) === sizes.length) sizes.push(part.doubles[at * DOUBLES + 1]!);
    }
  }
  for (const inode of restored.inodes) {
    const id = new Uint32Array(Uint8Array.from(inode.restored!.inode).buffer);
    if (inodes.add(id, 0) === sizes.length) sizes.push(entries.row(inode.row).size);
  }
  return { chunkRows, chunks: chunks.bytes, inodes: inodeRows(inodes.bytes, sizes) };
}

function inodeRows(ids: Buffer, sizes: readonly number[]): Unshared<Uint8Array> {
  const rows = new Uint8Array(sizes.length * INODE_ROW_BYTES);
  const bytes = Buffer.from(rows.buffer);
  for (let number = 0; number < sizes.length; number++) {
    const at = number * INODE_ROW_BYTES;
    ids.copy(bytes, at, number * INODE_ID_BYTES, (number + 1) * INODE_ID_BYTES);
    bytes.writeUIntLE(sizes[number]!, at + INODE_ID_BYTES, 6);
  }
  return rows;
}
