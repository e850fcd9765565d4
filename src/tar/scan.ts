/** What the walk over one entry's header blocks gathers; the decoder and the light walk differ only in what they make of it. */
import { type ByteString, showBytes } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import type { EntryKind, Extent } from "./entry.ts";
import { type Header, newHeader, PREFIX } from "./header.ts";
import type { PaxRecords, Span } from "./pax.ts";

export interface ScanOptions {
  /** Offset of the buffer's first byte in the uncompressed layer: errors name offsets in the layer. Default 0. */
  readonly base?: number;
  /**
   * Bytes that an entry's headers may take, from the first header block to its data: extension headers and sparse maps
   * included. More is refused on sight of the claim. Default 1 MiB, a multiple of 512.
   */
  readonly headerLimit?: number;
  /** Bytes that an entry's xattrs may take: names, values, and 16 for each, as on disk. Default 128 KiB. */
  readonly xattrLimit?: number;
  /** True when the archive ends at `limit`: then an incomplete header is TAR_INVALID, not "more". Default false. */
  readonly final?: boolean;
}

/** `more`: the headers are not wholly in the buffer. `end`: the end of the archive. */
export type Stop = "more" | "end";

export interface Scan {
  readonly buffer: Buffer;
  readonly start: number;
  readonly limit: number;
  readonly base: number;
  readonly headerLimit: number;
  readonly xattrLimit: number;
  readonly final: boolean;
  /** The block looked at last: the entry's own, once the walk is done. */
  readonly header: Header;
  /** The last PAX header's records, and the texts of the last GNU L and K headers. */
  pax: PaxRecords | undefined;
  longName: Span | undefined;
  longLink: Span | undefined;
  // the outcome
  kind: EntryKind | "ignored";
  /** Undefined when the header's own name stands, with its prefix. */
  name: Span | undefined;
  uid: number;
  gid: number;
  mtime: number;
  mtimeNs: number;
  size: number;
  data: number;
  stored: number;
  end: number;
  extents: readonly Extent[] | undefined;
}

const HEADER_LIMIT = 1024 * 1024;
const XATTR_LIMIT = 128 * 1024;

export function newScan(buffer: Buffer, range: Span, options: ScanOptions | undefined): Scan {
  return {
    buffer,
    start: range.from,
    limit: range.to,
    base: options?.base ?? 0,
    headerLimit: options?.headerLimit ?? HEADER_LIMIT,
    xattrLimit: options?.xattrLimit ?? XATTR_LIMIT,
    final: options?.final ?? false,
    header: newHeader(),
    pax: undefined,
    longName: undefined,
    longLink: undefined,
    kind: "ignored",
    name: undefined,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNs: 0,
    size: 0,
    data: 0,
    stored: 0,
    end: 0,
    extents: undefined,
  };
}

/** An error about the header block in hand. `problem` completes "cannot read the tar entry: ...". */
export function invalid(scan: Scan, problem: string): ShaleError<"TAR_INVALID"> {
  return new ShaleError("TAR_INVALID", describe(scan, problem), place(scan));
}

export function unsupported(scan: Scan, problem: string): ShaleError<"TAR_UNSUPPORTED"> {
  return new ShaleError("TAR_UNSUPPORTED", describe(scan, problem), place(scan));
}

export function tooLong(scan: Scan): ShaleError<"LIMIT_HEADER_BYTES"> {
  const problem = `its headers take more than the ${scan.headerLimit} bytes allowed (headerBytes)`;
  return new ShaleError("LIMIT_HEADER_BYTES", describe(scan, problem), { limit: "headerBytes", maximum: scan.headerLimit });
}

export function tooManyXattrs(scan: Scan): ShaleError<"LIMIT_XATTR_BYTES"> {
  const problem = `its extended attributes take more than the ${scan.xattrLimit} bytes allowed (xattrBytes)`;
  return new ShaleError("LIMIT_XATTR_BYTES", describe(scan, problem), { limit: "xattrBytes", maximum: scan.xattrLimit });
}

/** Where the headers are cut off: wait for more, unless there is none. */
export function cutOff(scan: Scan): "more" {
  if (scan.final) throw invalid(scan, "the archive ends in the middle of its headers");
  return "more";
}

/** The header's own name, prefix included, or what an extension header put in its place. */
export function entryName({ buffer, name, header }: Scan): ByteString {
  if (name !== undefined) return latin1(buffer, name.from, name.to);
  const own = latin1(buffer, header.at, header.nameEnd);
  const prefix = header.at + PREFIX;
  return header.prefixEnd === prefix ? own : (`${latin1(buffer, prefix, header.prefixEnd)}/${own}` as ByteString);
}

export function latin1(buffer: Buffer, from: number, to: number): ByteString {
  return buffer.toString("latin1", from, to) as ByteString;
}

function describe(scan: Scan, problem: string): string {
  const { offset, entry } = place(scan);
  return `cannot read the tar entry${entry === undefined ? "" : ` "${entry}"`} at byte ${offset} of the layer: ${problem}`;
}

function place(scan: Scan): { offset: number; entry?: string } {
  const offset = scan.base + scan.header.at;
  // nameEnd is still that of another block, or 0, when this one could not be decoded
  const known = scan.name !== undefined || scan.header.nameEnd >= scan.header.at;
  return known && scan.header.nameEnd > 0 ? { offset, entry: showBytes(entryName(scan), 256) } : { offset };
}
