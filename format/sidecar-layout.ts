import { BLOCK, CHUNK_ROW, COLUMNS, HARD_LINK_ROW, MAX_LENGTH, MODE_ROW } from "./columns.ts";
import type { ColumnName, Span } from "./columns.ts";
import { SidecarError } from "./sidecar-error.ts";
import { encodeBinStart } from "./sidecar-header.ts";
import type { SidecarHeader } from "./sidecar-header.ts";

/** The position of each bin in the file. */
export interface SidecarLayout extends SidecarHeader {
  readonly spans: Readonly<Record<ColumnName, Span>>;
  /** Columns of a later version. They are not read. */
  readonly unknown: readonly { readonly key: string; readonly span: Span }[];
  /** Position of the `sums` key. The block sums cover the bytes before it. */
  readonly covered: number;
}

/** Number of bytes of the key `sums` and of the length that follows it. */
const SUMS_START = 10;

/** Finds `sums`, with which the file ends. @throws SidecarError if its length does not fit the file */
export function sumsSpan(header: SidecarHeader, fileLength: number): { readonly covered: number; readonly content: Span } {
  const length = header.lengths.at(-1) ?? 0;
  const start = fileLength - length;
  const covered = start - SUMS_START;
  if (!(covered >= header.end) || length !== 8 * (Math.ceil(covered / BLOCK) + 1))
    throw new SidecarError(`read sidecar: sums of ${length} bytes do not fit a file of ${fileLength}`, header.end);
  return { covered, content: { start, length } };
}

/** Finds every bin. Checks that the bins fill the file and that each length fits its number of rows. `read` returns verified bytes. */
export function layOut(header: SidecarHeader, covered: number, read: (start: number, length: number) => Buffer): SidecarLayout {
  let at = header.end;
  const take = (keyLength: number, length: number): Span => {
    const span = { start: at + keyLength + 6, length };
    at = span.start + length;
    if (!(at <= covered)) throw new SidecarError("read sidecar: the columns are longer than the file", span.start);
    return span;
  };
  const spans = Object.fromEntries(COLUMNS.map((name, row) => [name, take(name.length, header.lengths[row] ?? 0)]));
  const unknown: { key: string; span: Span }[] = [];
  for (const length of header.lengths.slice(COLUMNS.length, -1)) {
    const key = readKey(at, covered, read);
    if (key in spans || key === "sums" || unknown.some((other) => other.key === key))
      throw new SidecarError(`read sidecar: the key ${key} stands twice`, at);
    const start = encodeBinStart(key, length > MAX_LENGTH ? 0 : length);
    if (!read(at, Math.min(start.length, covered - at)).equals(start)) throw new SidecarError("read sidecar: a column is not a bin", at);
    unknown.push({ key, span: take(key.length, length) });
  }
  if (at !== covered) throw new SidecarError("read sidecar: the columns do not fill the file", at);
  const layout = { ...header, covered, spans: spans as Record<ColumnName, Span>, unknown };
  checkLengths(layout);
  return layout;
}

function readKey(at: number, covered: number, read: (start: number, length: number) => Buffer): string {
  const bytes = read(at, Math.min(32, covered - at));
  const length = (bytes[0] ?? 0) ^ 0xa0;
  const key = bytes.toString("latin1", 1, 1 + length);
  if (length > 31 || !/^[A-Za-z0-9_.-]+$/.test(key) || key.length !== length) throw new SidecarError("read sidecar: not a key", at);
  return key;
}

function checkLengths({ spans, count, indexed }: SidecarLayout): void {
  const rows = spans.dirPathEnd.length / 4;
  const check = (name: ColumnName, ok: boolean): void => {
    if (!ok) throw new SidecarError(`read sidecar: ${name} has ${spans[name].length} bytes for ${count} entries`, spans[name].start);
  };
  for (const [name, width] of ENTRY_WIDTHS) check(name, spans[name].length === count * width);
  for (const [name, width] of ROW_WIDTHS) check(name, spans[name].length % width === 0);
  const wide = spans.modeTable.length / MODE_ROW > 65_536;
  check("mode", spans.mode.length === count * (wide ? 4 : 2));
  check("order", spans.order.length <= count * 4);
  check("hardLinks", spans.hardLinks.length <= count * HARD_LINK_ROW);
  check("dirFirst", spans.dirFirst.length === (indexed ? (rows + 1) * 4 : 0));
  check("dirPathEnd", rows < count && (indexed || rows === 0));
  check("dirPath", indexed || spans.dirPath.length === 0);
}

const ENTRY_WIDTHS: readonly (readonly [ColumnName, number])[] = [
  ["pathEnd", 4],
  ["offset", 6],
  ["size", 6],
  ["mtime", 8],
  ["mtimeNs", 4],
  ["whiteout", 1],
  ["link", 4],
  ["chunk", 4],
];

const ROW_WIDTHS: readonly (readonly [ColumnName, number])[] = [
  ["dirPathEnd", 4],
  ["order", 4],
  ["modeTable", MODE_ROW],
  ["xattrsEnd", 4],
  ["linkPathEnd", 4],
  ["hardLinks", HARD_LINK_ROW],
  ["chunks", CHUNK_ROW],
];
