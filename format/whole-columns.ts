/**
 * Whole columns, for code that visits every entry: one copy and one loop per column instead of a dozen calls per entry.
 * Values are checked as by EntryColumns. @throws SidecarError
 */
import { CHUNK_ROW, NO_ROW, type ChunkId, type ColumnName } from "./columns.ts";
import { Flag } from "./entry.ts";
import type { EntryColumns } from "./entry-columns.ts";
import { BIG_ENDIAN } from "./number-columns.ts";
import { invalid } from "./sidecar-error.ts";

export class WholeColumns {
  readonly flags: Uint8Array;
  /** The row in the mode table. */
  readonly modeRows: Uint16Array | Uint32Array;
  /** The row in the chunk table, or NO_ROW. */
  readonly chunks: Uint32Array;
  /** Bytes of the unpacked file. */
  readonly sizes: Float64Array;
  readonly mtimes: Float64Array;
  readonly mtimesNs: Uint32Array;
  /** The chunk table. */
  readonly #chunkIds: Buffer;

  constructor(columns: EntryColumns) {
    this.flags = readFlags(columns);
    this.modeRows = checked(columns, "mode", columns.modeCount > 65_536 ? words(columns, "mode") : halfWords(columns), columns.modeCount);
    this.chunks = checked(columns, "chunk", words(columns, "chunk"), columns.chunkCount, NO_ROW);
    this.sizes = readSizes(columns);
    this.mtimes = readTimes(columns);
    this.mtimesNs = checked(columns, "mtimeNs", words(columns, "mtimeNs"), 1_000_000_000);
    this.#chunkIds = columns.chunkTable();
  }

  /** A view of a chunk id: do not change it. */
  chunkId(row: number): Buffer & ChunkId {
    return this.#chunkIds.subarray(row * CHUNK_ROW, (row + 1) * CHUNK_ROW) as Buffer & ChunkId;
  }
}

function readFlags(columns: EntryColumns): Uint8Array {
  const flags = column(columns, "whiteout");
  for (let entry = 0; entry < columns.count; entry++) {
    const shadowed = entry >= columns.live ? Flag.shadowed : 0;
    if (flags[entry]! > 63 || (flags[entry]! & Flag.shadowed) !== shadowed) throw invalidAt(columns, "whiteout", entry);
  }
  return flags;
}

function readSizes(columns: EntryColumns): Float64Array {
  const bytes = column(columns, "size");
  const sizes = new Float64Array(columns.count);
  for (let entry = 0; entry < sizes.length; entry++) sizes[entry] = bytes.readUIntLE(entry * 6, 6);
  return sizes;
}

function readTimes(columns: EntryColumns): Float64Array {
  const bytes = column(columns, "mtime");
  const times = new Float64Array(columns.count);
  for (let entry = 0; entry < times.length; entry++) {
    const time = bytes.readUInt32LE(entry * 8) + bytes.readInt32LE(entry * 8 + 4) * 2 ** 32;
    if (!Number.isSafeInteger(time)) throw invalidAt(columns, "mtime", entry);
    times[entry] = time;
  }
  return times;
}

function checked<T extends Uint16Array | Uint32Array>(columns: EntryColumns, name: ColumnName, rows: T, end: number, none = -1): T {
  for (let entry = 0; entry < rows.length; entry++) if (rows[entry]! >= end && rows[entry] !== none) throw invalidAt(columns, name, entry);
  return rows;
}

function halfWords(columns: EntryColumns): Uint16Array {
  const bytes = column(columns, "mode");
  if (BIG_ENDIAN) bytes.swap16();
  return new Uint16Array(bytes.buffer, 0, bytes.length / 2);
}

function words(columns: EntryColumns, name: ColumnName): Uint32Array {
  const bytes = column(columns, name);
  if (BIG_ENDIAN) bytes.swap32();
  return new Uint32Array(bytes.buffer, 0, bytes.length / 4);
}

/** Returns a copy in its own memory, at offset 0, so that it can be viewed as words. */
function column(columns: EntryColumns, name: ColumnName): Buffer {
  const { start, length } = columns.layout.spans[name];
  const bytes = Buffer.allocUnsafeSlow(length);
  columns.pages.copy(start, length, bytes);
  return bytes;
}

function invalidAt({ layout, count }: EntryColumns, name: ColumnName, entry: number): Error {
  const { start, length } = layout.spans[name];
  return invalid(name === "whiteout" ? "flags" : name, start + entry * (length / count));
}
