/**
 * Sparse maps: old GNU (typeflag S, with extension blocks), PAX 0.0, 0.1 (in the records) and 1.0 (before the data).
 * Accepted as Go's archive/tar does: extents in order, none beyond the file's size, and together exactly what is stored.
 */
import type { Extent } from "./entry.ts";
import { BLOCK, paddedLength } from "./header.ts";
import { parseDecimal, parseNumeric } from "./number.ts";
import type { PaxKey, PaxRecords, Span } from "./pax.ts";
import { cutOff, invalid, type Scan, tooLong } from "./scan.ts";

/** An extent in an old GNU map: two numeric fields of 12 bytes. */
const SLOT = 24;
const SLOTS_IN_HEADER = 4;
const SLOTS_IN_EXTENSION = 21;

/**
 * Applies the map of a file whose `data`, `stored` and `size` are those of a plain file; a file without a map is left as
 * it is. "more" when the map is not wholly in the buffer.
 */
export function applySparseMap(scan: Scan): "more" | undefined {
  if (scan.header.typeflag === 0x53) return applyOldMap(scan);
  const version = scan.pax === undefined ? undefined : paxVersion(scan.buffer, scan.pax);
  if (scan.pax === undefined || version === undefined) return undefined;
  if (scan.kind !== "file") throw invalid(scan, "it has a sparse map but is not a file");
  scan.name = filled(scan.pax, "GNU.sparse.name") ?? scan.name;
  const size = filled(scan.pax, "GNU.sparse.size") ?? filled(scan.pax, "GNU.sparse.realsize");
  if (size !== undefined) scan.size = parseDecimal(scan.buffer, size.from, size.to);
  return version === "1.0" ? applyLeadingMap(scan) : applyRecordedMap(scan, scan.pax);
}

/** A record that is there and not empty. */
export function filled(pax: PaxRecords, key: PaxKey): Span | undefined {
  const span = pax.values.get(key);
  return span === undefined || span.from === span.to ? undefined : span;
}

/** 0.0 and 0.1 may come without a version. Of a version unknown to Go the packed form is the file. */
function paxVersion(buffer: Buffer, pax: PaxRecords): "0.x" | "1.0" | undefined {
  const major = filled(pax, "GNU.sparse.major");
  const minor = filled(pax, "GNU.sparse.minor");
  if (major === undefined && minor === undefined) return recordedMap(pax).length > 0 ? "0.x" : undefined;
  const version = `${text(buffer, major)}.${text(buffer, minor)}`;
  if (version === "0.0" || version === "0.1") return "0.x";
  return version === "1.0" ? "1.0" : undefined;
}

function text(buffer: Buffer, span: Span | undefined): string {
  return span === undefined ? "" : buffer.toString("latin1", span.from, Math.min(span.to, span.from + 2));
}

function applyOldMap(scan: Scan): "more" | undefined {
  const { buffer, header } = scan;
  if (header.format !== "gnu") throw invalid(scan, "it is of type S but not in GNU format");
  const numbers: number[] = [];
  let slots = header.at + 386;
  let count = SLOTS_IN_HEADER;
  scan.size = parseNumeric(buffer, header.at + 483, header.at + 495);
  for (;;) {
    readSlots(buffer, { from: slots, to: slots + count * SLOT }, numbers);
    if (buffer[slots + count * SLOT] === 0) break;
    if (scan.data + BLOCK - scan.start > scan.headerLimit) throw tooLong(scan);
    if (scan.data + BLOCK > scan.limit) return cutOff(scan);
    slots = scan.data;
    count = SLOTS_IN_EXTENSION;
    scan.data += BLOCK;
  }
  setExtents(scan, numbers);
  return undefined;
}

/** A slot that begins with a NUL ends the block's list, but not that of an extension block after it. */
function readSlots(buffer: Buffer, slots: Span, numbers: number[]): void {
  for (let at = slots.from; at < slots.to && buffer[at] !== 0; at += SLOT) {
    numbers.push(parseNumeric(buffer, at, at + 12), parseNumeric(buffer, at + 12, at + 24));
  }
}

function applyRecordedMap(scan: Scan, pax: PaxRecords): undefined {
  const { buffer } = scan;
  const numbers: number[] = [];
  for (const part of recordedMap(pax)) {
    for (let from = part.from; from <= part.to;) {
      let comma = from;
      while (comma < part.to && buffer[comma] !== 0x2c) comma++;
      numbers.push(parseDecimal(buffer, from, comma));
      from = comma + 1;
    }
  }
  const count = filled(pax, "GNU.sparse.numblocks");
  const claim = count === undefined ? NaN : parseDecimal(buffer, count.from, count.to);
  if (numbers.length !== 2 * claim) throw invalid(scan, "its sparse map has not the number of extents that it claims");
  setExtents(scan, numbers);
}

/** The records of 0.0, each a number, replace the map of 0.1, one list. An empty list is no list. */
function recordedMap(pax: PaxRecords): readonly Span[] {
  const [first] = pax.sparse;
  if (first !== undefined) return pax.sparse.length === 1 && first.from === first.to ? [] : pax.sparse;
  const map = filled(pax, "GNU.sparse.map");
  return map === undefined ? [] : [map];
}

/** 1.0: lines of decimals before the data, counted in its size, padded to whole blocks: the count, then offsets and lengths. */
function applyLeadingMap(scan: Scan): "more" | undefined {
  const { buffer, data } = scan;
  const first = lineEnd(scan, data);
  if (first === "more") return first;
  const count = parseDecimal(buffer, data, first);
  // an extent takes four bytes at least: a wild claim is refused before its lines are waited for
  if (!(count >= 0 && count * 4 <= scan.stored)) throw invalid(scan, "its sparse map claims more extents than it can hold");
  if (count * 4 > scan.headerLimit) throw tooLong(scan);
  const numbers: number[] = [];
  let at = first + 1;
  while (numbers.length < 2 * count) {
    const newline = lineEnd(scan, at);
    if (newline === "more") return newline;
    numbers.push(parseDecimal(buffer, at, newline));
    at = newline + 1;
  }
  const length = paddedLength(at - data);
  if (length > scan.stored) throw invalid(scan, "its sparse map is not padded to whole blocks");
  if (data + length - scan.start > scan.headerLimit) throw tooLong(scan);
  if (data + length > scan.limit) return cutOff(scan);
  scan.data += length;
  scan.stored -= length;
  setExtents(scan, numbers);
  return undefined;
}

function lineEnd(scan: Scan, from: number): number | "more" {
  const mapEnd = scan.data + scan.stored;
  const allowed = scan.start + scan.headerLimit;
  const bound = Math.min(mapEnd, allowed, scan.limit);
  for (let at = from; at < bound; at++) if (scan.buffer[at] === 0x0a) return at;
  if (bound === mapEnd) throw invalid(scan, "its sparse map has no end");
  if (bound === allowed) throw tooLong(scan);
  return cutOff(scan);
}

function setExtents(scan: Scan, numbers: readonly number[]): void {
  const { size } = scan;
  if (!Number.isSafeInteger(size) || size < 0) throw invalid(scan, "its unpacked size is malformed or too large");
  const extents: Extent[] = [];
  let end = 0;
  let total = 0;
  for (let i = 0; i + 1 < numbers.length; i += 2) {
    const offset = numbers[i]!;
    const length = numbers[i + 1]!;
    // written so that NaN fails too
    if (!(offset >= end && length >= 0 && offset + length <= size)) {
      throw invalid(scan, "its sparse map is malformed, out of order, or reaches beyond the end of the file");
    }
    end = offset + length;
    total += length;
    if (length > 0) extents.push({ offset, length });
  }
  if (total !== scan.stored) throw invalid(scan, `its sparse map covers ${total} bytes, but ${scan.stored} are stored`);
  scan.extents = extents;
}
