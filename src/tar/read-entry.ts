/** The decoder of tar headers: USTAR, V7, star, GNU and PAX, read as Go's archive/tar reads them. */
import type { ByteString } from "../bytes.ts";
import type { TarEntry } from "./entry.ts";
import type { Xattr } from "../../format/entry.ts";
import { LINK_NAME, textEnd } from "./header.ts";
import type { Span } from "./pax.ts";
import { entryName, latin1, type Scan, type ScanOptions, type Stop } from "./scan.ts";
import { scanEntry } from "./scan-entry.ts";
import { filled } from "./sparse.ts";
import { decodeXattrs } from "./xattr.ts";

const NO_XATTRS: readonly Xattr[] = [];
const EMPTY = "" as ByteString;

/**
 * Decodes the entry whose first header block, extension headers included, begins at `start`; `limit` is the end of the
 * valid bytes. Reads nothing of the file's data, which may lie beyond `limit`.
 *
 * - "more": the headers are not wholly there. Ask again from the same `start` when more bytes have come.
 * - "end": two blocks of zeros; or, with `final`, nothing more, after one block of zeros or none. `start` may then lie
 *   past `limit`, since the padding of the last data may be missing; that the data are whole is for the caller to check.
 *
 * Of kind `ignored` are PAX global headers (their records apply to nothing) and empty GNU volume labels (V): all their
 * bytes are header bytes. Every other type that is none of the kinds is refused, since what it means for the files
 * around it is unknown: Solaris X and A, GNU D, M and N, star E and I.
 *
 * @throws TAR_INVALID for what Go refuses too, and for ids, sizes, times and device numbers that Linux or a double
 * cannot hold, malformed LIBARCHIVE.xattr records, and nameless xattrs; TAR_UNSUPPORTED for an unknown type;
 * LIMIT_HEADER_BYTES for headers longer than `headerLimit`, LIMIT_XATTR_BYTES for more xattrs than `xattrLimit`. Nothing in the buffer is changed or kept.
 */
export function readEntry(buffer: Buffer, start: number, limit: number, options?: ScanOptions): TarEntry | Stop {
  const scan = scanEntry(buffer, { from: start, to: limit }, options);
  if (typeof scan === "string") return scan;
  const { header, kind, extents } = scan;
  const isDevice = kind === "char" || kind === "block";
  const entry: TarEntry = {
    kind,
    path: entryName(scan),
    linkPath: kind === "symlink" || kind === "hardlink" ? linkName(scan) : EMPTY,
    mode: kind === "ignored" ? 0 : header.mode & 0o7777,
    uid: scan.uid,
    gid: scan.gid,
    devMajor: isDevice ? header.devMajor : 0,
    devMinor: isDevice ? header.devMinor : 0,
    mtime: scan.mtime,
    mtimeNs: scan.mtimeNs,
    xattrs: scan.pax === undefined || kind === "ignored" ? NO_XATTRS : decodeXattrs(buffer, scan.pax.xattrs),
    size: scan.size,
    start,
    data: scan.data,
    end: scan.end,
    stored: scan.stored,
  };
  return extents === undefined ? entry : { ...entry, sparse: extents };
}

function linkName({ buffer, header, pax, longLink }: Scan): ByteString {
  const long = nonEmpty(longLink) ?? (pax === undefined ? undefined : filled(pax, "linkpath"));
  if (long !== undefined) return latin1(buffer, long.from, long.to);
  const from = header.at + LINK_NAME;
  return latin1(buffer, from, textEnd(buffer, from, from + 100));
}

function nonEmpty(span: Span | undefined): Span | undefined {
  return span === undefined || span.from === span.to ? undefined : span;
}
