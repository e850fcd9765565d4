/**
 * Columns of all entries at once, for who walks them all: one copy and one loop, where each entry by itself would be a dozen calls.
 * Checked as EntryColumns checks them: what breaks the format throws SidecarError.
 */
import { endianness } from "node:os";
import { NO_ROW, type ColumnName } from "./columns.ts";
import { Flag } from "./entry.ts";
import type { EntryColumns } from "./entry-columns.ts";
import { invalid } from "./sidecar-error.ts";

const SWAPPED: boolean = endianness() === "BE";

/** The flags of each entry. */
export function readFlags(columns: EntryColumns): Uint8Array {
  const flags = column(columns, "whiteout");
  for (let entry = 0; entry < columns.count; entry++) {
    const shadowed = entry >= columns.live ? Flag.shadowed : 0;
    if (flags[entry]! > 63 || (flags[entry]! & Flag.shadowed) !== shadowed) throw invalidAt(columns, "whiteout", entry);
  }
  return flags;
}

/** The row of each entry in the mode table. */
export function readModeRows(columns: EntryColumns): Uint16Array | Uint32Array {
  return checked(columns, "mode", columns.modeCount > 65_536 ? words(columns, "mode") : halfWords(columns), columns.modeCount);
}

/** The row of each entry in the chunk table, or NO_ROW. */
export function readChunkRows(columns: EntryColumns): Uint32Array {
  return checked(columns, "chunk", words(columns, "chunk"), columns.chunkCount, NO_ROW);
}

function checked<T extends Uint16Array | Uint32Array>(columns: EntryColumns, name: ColumnName, rows: T, end: number, none = -1): T {
  for (let entry = 0; entry < rows.length; entry++) if (rows[entry]! >= end && rows[entry] !== none) throw invalidAt(columns, name, entry);
  return rows;
}

function halfWords(columns: EntryColumns): Uint16Array {
  const bytes = column(columns, "mode");
  if (SWAPPED) bytes.swap16();
  return new Uint16Array(bytes.buffer, 0, bytes.length / 2);
}

function words(columns: EntryColumns, name: ColumnName): Uint32Array {
  const bytes = column(columns, name);
  if (SWAPPED) bytes.swap32();
  return new Uint32Array(bytes.buffer, 0, bytes.length / 4);
}

/** A copy at the start of memory of its own. */
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
