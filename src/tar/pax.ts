/**
 * The records of a PAX extended header, `<length> <key>=<value>\n` (POSIX pax, "pax Extended Header"), kept as offsets of
 * their bytes. The grammar is as strict as Go's archive/tar; what a value means is settled later, and only for the header
 * that counts: of several before one entry the last replaces the others.
 */
import { hasText } from "./header.ts";
import { parseDecimal } from "./number.ts";

/** The records that mean something here; all others are checked and passed over. */
const KEYS = [
  "path",
  "linkpath",
  "size",
  "uid",
  "gid",
  "mtime",
  "atime",
  "ctime",
  "GNU.sparse.name",
  "GNU.sparse.major",
  "GNU.sparse.minor",
  "GNU.sparse.size",
  "GNU.sparse.realsize",
  "GNU.sparse.numblocks",
  "GNU.sparse.map",
  // below: checked only
  "uname",
  "gname",
  "GNU.sparse.offset",
  "GNU.sparse.numbytes",
] as const;
export type PaxKey = (typeof KEYS)[number];

const SCHILY = "SCHILY.xattr.";
const LIBARCHIVE = "LIBARCHIVE.xattr.";
const BY_LENGTH: readonly (readonly PaxKey[])[] = Array.from({ length: 21 }, (_, length) => KEYS.filter((key) => key.length === length));
const NONE: readonly PaxKey[] = [];

/** A record's value: bytes `from` to `to`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** An xattr as recorded; `encoded`: libarchive's form, the name URL-encoded and the value base64. */
export interface XattrRecord {
  readonly encoded: boolean;
  readonly name: Span;
  readonly value: Span;
}

export interface PaxRecords {
  /** The last value of each key. An empty one means that the header's own field stands. */
  readonly values: Map<PaxKey, Span>;
  /** In the order of the records; the same name may come again, and the last counts. */
  readonly xattrs: XattrRecord[];
  /** GNU sparse map 0.0: offsets and lengths in turn. */
  readonly sparse: Span[];
}

/** The records in `from` to `to`, or what is wrong with them. */
export function parsePax(buffer: Buffer, from: number, to: number): PaxRecords | string {
  const records: PaxRecords = { values: new Map(), xattrs: [], sparse: [] };
  for (let at = from; at < to;) {
    let space = at;
    while (space < to && buffer[space] !== 0x20) space++;
    const length = parseDecimal(buffer, at, space);
    const end = at + length;
    // written so that NaN fails too
    if (!(length >= 5 && end <= to && end > space + 1)) return "a PAX record has a malformed length";
    if (buffer[end - 1] !== 0x0a) return "a PAX record does not end with a newline";
    const problem = addRecord(buffer, { from: space + 1, to: end - 1 }, records);
    if (problem !== undefined) return problem;
    at = end;
  }
  return records;
}

function addRecord(buffer: Buffer, record: Span, records: PaxRecords): string | undefined {
  let equals = record.from;
  while (equals < record.to && buffer[equals] !== 0x3d) equals++;
  if (equals === record.to) return "a PAX record has no equals sign";
  if (equals === record.from) return "a PAX record has no key";
  const value: Span = { from: equals + 1, to: record.to };
  const key = keyOf(buffer, record.from, equals);
  if (key === undefined) return addXattr(buffer, { from: record.from, to: equals }, value, records);
  if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") return addSparse(buffer, key, value, records);
  if (isText(key) && hasByte(buffer, value, 0)) return "a name in a PAX record contains a NUL";
  records.values.set(key, value);
  return undefined;
}

function keyOf(buffer: Buffer, from: number, to: number): PaxKey | undefined {
  for (const key of BY_LENGTH[to - from] ?? NONE) if (hasText(buffer, from, key)) return key;
  return undefined;
}

function isText(key: PaxKey): boolean {
  return key === "path" || key === "linkpath" || key === "uname" || key === "gname";
}

/** Any key that is none of KEYS: an xattr, or a stranger's, which only must not contain a NUL. */
function addXattr(buffer: Buffer, key: Span, value: Span, records: PaxRecords): string | undefined {
  if (hasByte(buffer, key, 0)) return "the key of a PAX record contains a NUL";
  const encoded = startsWith(buffer, key, LIBARCHIVE);
  if (!encoded && !startsWith(buffer, key, SCHILY)) return undefined;
  const name: Span = { from: key.from + (encoded ? LIBARCHIVE.length : SCHILY.length), to: key.to };
  records.xattrs.push({ encoded, name, value });
  return undefined;
}

function addSparse(buffer: Buffer, key: PaxKey, value: Span, records: PaxRecords): string | undefined {
  const expected = records.sparse.length % 2 === 0 ? "GNU.sparse.offset" : "GNU.sparse.numbytes";
  if (key !== expected || hasByte(buffer, value, 0x2c)) return "its PAX sparse map is out of order";
  records.sparse.push(value);
  return undefined;
}

function startsWith(buffer: Buffer, span: Span, text: string): boolean {
  return span.to - span.from >= text.length && hasText(buffer, span.from, text);
}

function hasByte(buffer: Buffer, span: Span, byte: number): boolean {
  for (let at = span.from; at < span.to; at++) if (buffer[at] === byte) return true;
  return false;
}
