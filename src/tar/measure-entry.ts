/** The light walk: where an entry ends, without decoding its names and xattrs. */
import type { ScanOptions, Stop } from "./scan.ts";
import { scanEntry } from "./scan-entry.ts";

/** Offsets in the buffer given; `end` may lie beyond it. */
export interface EntryExtent {
  /** Where the stored data begins, and the next entry. */
  readonly data: number;
  readonly end: number;
  /** Bytes of stored data, padding excluded. */
  readonly stored: number;
  /** Bytes of the file once unpacked: more than `stored` for a sparse file. */
  readonly size: number;
}

/** As `readEntry`, with which it agrees on every input: the same extent, "more", "end" or error. */
export function measureEntry(buffer: Buffer, start: number, limit: number, options?: ScanOptions): EntryExtent | Stop {
  const scan = scanEntry(buffer, { from: start, to: limit }, options);
  return typeof scan === "string" ? scan : { data: scan.data, end: scan.end, stored: scan.stored, size: scan.size };
}
