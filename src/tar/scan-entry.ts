/**
 * The walk over the headers of one entry, as Go's archive/tar makes it (reader.go: next, readHeader, mergePAX):
 *
 *     (x | L | K)*  g                            read over; what came before the g is lost with it
 *     (x | L | K)*  header  [sparse map]  data   an entry
 *     (x | L | K)*  two blocks of zeros          the end of the archive
 *
 * Everything that can be wrong with an entry is found here, so that the decoder and the light walk cannot disagree.
 */
import { showBytes } from "../bytes.ts";
import type { EntryKind } from "./entry.ts";
import { BLOCK, decodeHeader, paddedLength, PREFIX, sumBlock, textEnd } from "./header.ts";
import { parseDecimal } from "./number.ts";
import { parsePax, type PaxKey, type Span } from "./pax.ts";
import { type PaxTime, parsePaxTime } from "./pax-time.ts";
import { cutOff, invalid, newScan, type Scan, type ScanOptions, type Stop, tooLong, tooManyXattrs, unsupported } from "./scan.ts";
import { applySparseMap, filled } from "./sparse.ts";
import { checkXattrs, xattrBytes } from "./xattr.ts";

/** Linux: (uid_t) -1 means "no user". */
const MAX_ID = 0xffff_fffe;
/** Linux: twelve and twenty bits. */
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xf_ffff;

/** The entry whose headers begin at `range.from`; `range.to` is the end of the valid bytes. @throws as `readEntry`. */
export function scanEntry(buffer: Buffer, range: Span, options: ScanOptions | undefined): Scan | Stop {
  const scan = newScan(buffer, range, options);
  const { header } = scan;
  for (let at = range.from; ;) {
    header.at = at;
    const stop = readBlock(scan);
    if (stop !== undefined) return stop;
    if (!isExtension(header.typeflag)) return finishEntry(scan) ?? scan;
    const to = at + BLOCK + header.size;
    if (to - scan.start > scan.headerLimit) throw tooLong(scan);
    if (to > scan.limit) return cutOff(scan);
    readExtension(scan, { from: at + BLOCK, to });
    at += BLOCK + paddedLength(header.size);
    if (header.typeflag === G) return finishIgnored(scan, to, at);
  }
}

const X = 0x78;
const G = 0x67;
const L = 0x4c;
const K = 0x4b;

function isExtension(typeflag: number): boolean {
  return typeflag === X || typeflag === L || typeflag === K || typeflag === G;
}

/** Types 1 to 6 have no data, whatever their size field says. */
function isHeaderOnly(typeflag: number): boolean {
  return typeflag >= 0x31 && typeflag <= 0x36;
}

/** Decodes the block at `header.at`, unless the archive or the buffer ends there. */
function readBlock(scan: Scan): Stop | undefined {
  const { buffer, header, limit } = scan;
  const at = header.at;
  if (at + BLOCK - scan.start > scan.headerLimit) throw tooLong(scan);
  if (at + BLOCK > limit) return scan.final && at >= limit ? "end" : cutOff(scan);
  const sum = sumBlock(buffer, at);
  if (sum === 0) return readEnd(scan);
  const problem = decodeHeader(buffer, sum, header);
  if (problem !== undefined) throw invalid(scan, problem);
  if (header.size < 0 && !isHeaderOnly(header.typeflag)) throw invalid(scan, "its size is negative");
  return undefined;
}

/** At a block of zeros: another one must follow, or nothing at all. */
function readEnd(scan: Scan): Stop {
  const next = scan.header.at + BLOCK;
  if (next + BLOCK > scan.limit) return scan.final && next === scan.limit ? "end" : cutOff(scan);
  if (sumBlock(scan.buffer, next) !== 0) throw invalid(scan, "a single block of zeros stands before another header");
  return "end";
}

function readExtension(scan: Scan, data: Span): void {
  const { buffer, header } = scan;
  if (header.typeflag === L || header.typeflag === K) {
    const text = { from: data.from, to: textEnd(buffer, data.from, data.to) };
    if (header.typeflag === L) scan.longName = text;
    else scan.longLink = text;
    return;
  }
  const records = parsePax(buffer, data.from, data.to);
  if (typeof records === "string") throw invalid(scan, records);
  scan.pax = records;
}

/** A global header (its records apply to nothing, as in Go) or a label: all its bytes are header bytes. */
function finishIgnored(scan: Scan, data: number, end: number): Scan {
  scan.uid = 0;
  scan.gid = 0;
  scan.mtime = 0;
  scan.mtimeNs = 0;
  scan.data = data;
  scan.end = end;
  return scan;
}

function finishEntry(scan: Scan): "more" | undefined {
  const { header } = scan;
  scan.uid = header.uid;
  scan.gid = header.gid;
  scan.mtime = header.mtime;
  let size = header.size;
  if (scan.pax !== undefined) size = applyPax(scan, size);
  if (scan.longName !== undefined && scan.longName.to > scan.longName.from) scan.name = scan.longName;
  scan.kind = kindOf(scan);
  scan.data = header.at + BLOCK;
  if (scan.kind === "ignored") {
    if (size !== 0) throw unsupported(scan, "it is a volume label with data");
    // refuses a map, as Go does: a label is no file
    applySparseMap(scan);
    finishIgnored(scan, scan.data, scan.data);
    return undefined;
  }
  checkRanges(scan);
  if (scan.kind === "file") {
    if (!Number.isSafeInteger(size) || size < 0) throw invalid(scan, "its size is negative or too large");
    scan.size = size;
    scan.stored = size;
  }
  if (applySparseMap(scan) === "more") return "more";
  scan.end = scan.data + paddedLength(scan.stored);
  if (!Number.isSafeInteger(scan.base + scan.end)) throw invalid(scan, "its size is too large");
  return undefined;
}

/** Puts the records in the place of the header's fields; returns the size that counts. */
function applyPax(scan: Scan, size: number): number {
  const pax = scan.pax!;
  if (xattrBytes(pax.xattrs) > scan.xattrLimit) throw tooManyXattrs(scan);
  const problem = checkXattrs(scan.buffer, pax.xattrs);
  if (problem !== undefined) throw invalid(scan, problem);
  scan.name = filled(pax, "path");
  scan.uid = paxNumber(scan, "uid") ?? scan.uid;
  scan.gid = paxNumber(scan, "gid") ?? scan.gid;
  checkTime(scan, "atime");
  checkTime(scan, "ctime");
  const mtime = checkTime(scan, "mtime");
  if (mtime !== undefined) {
    scan.mtime = mtime.seconds;
    scan.mtimeNs = mtime.nanoseconds;
  }
  return paxNumber(scan, "size") ?? size;
}

function paxNumber(scan: Scan, key: PaxKey): number | undefined {
  const span = filled(scan.pax!, key);
  if (span === undefined) return undefined;
  const value = parseDecimal(scan.buffer, span.from, span.to);
  if (Number.isNaN(value)) throw invalid(scan, `its PAX record ${key} is not a number`);
  return value;
}

function checkTime(scan: Scan, key: PaxKey): PaxTime | undefined {
  const span = filled(scan.pax!, key);
  if (span === undefined) return undefined;
  const time = parsePaxTime(scan.buffer, span.from, span.to);
  if (time === undefined) throw invalid(scan, `its PAX record ${key} is not a time`);
  return time;
}

function kindOf(scan: Scan): EntryKind | "ignored" {
  const flag = scan.header.typeflag;
  switch (String.fromCharCode(flag)) {
    case "0":
    case "7":
    case "S":
      return "file";
    case "\0":
      return hasTrailingSlash(scan) ? "directory" : "file";
    case "1":
      return "hardlink";
    case "2":
      return "symlink";
    case "3":
      return "char";
    case "4":
      return "block";
    case "5":
      return "directory";
    case "6":
      return "fifo";
    case "V":
      return "ignored";
    default:
      throw unsupported(scan, `type "${showBytes(Uint8Array.of(flag))}" is none that can be read`);
  }
}

/** Before POSIX a directory was a file whose name ends in a slash. */
function hasTrailingSlash({ buffer, name, header }: Scan): boolean {
  const from = name?.from ?? header.at;
  const to = name?.to ?? header.nameEnd;
  if (to > from) return buffer[to - 1] === 0x2f;
  return name === undefined && header.prefixEnd > header.at + PREFIX;
}

function checkRanges(scan: Scan): void {
  const { header, kind } = scan;
  if (!(scan.uid >= 0 && scan.uid <= MAX_ID)) throw invalid(scan, `its owner ${scan.uid} is no user id`);
  if (!(scan.gid >= 0 && scan.gid <= MAX_ID)) throw invalid(scan, `its group ${scan.gid} is no group id`);
  if (!Number.isSafeInteger(scan.mtime)) throw invalid(scan, "its time is out of range");
  if (kind !== "char" && kind !== "block") return;
  const { devMajor, devMinor } = header;
  if (devMajor >= 0 && devMajor <= MAX_MAJOR && devMinor >= 0 && devMinor <= MAX_MINOR) return;
  throw invalid(scan, `its device number ${devMajor}:${devMinor} is out of range`);
}
