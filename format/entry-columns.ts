import { Flag, isPath } from "./entry.ts";
import type { SidecarEntry, Xattr } from "./entry.ts";
import { decodeXattrs } from "./xattr-set.ts";
import type { Pages } from "./pages.ts";
import { invalid } from "./sidecar-error.ts";
import { CHUNK_ROW, HARD_LINK_ROW, MAX_PATH, MAX_XATTR_SET, MODE_ROW, NO_ROW } from "./columns.ts";
import type { ChunkHex, ChunkId, ColumnName, Span } from "./columns.ts";
import type { SidecarLayout } from "./sidecar-layout.ts";

/** One row of the mode table, with decoded xattrs. */
export type SidecarMode = Pick<SidecarEntry, "mode" | "uid" | "gid" | "rdevMajor" | "rdevMinor" | "xattrs">;

/** Number of mode rows that a handle keeps decoded. Layers have some dozens. */
const KEPT_MODES = 4096;

/**
 * The columns of a sidecar by entry number (sidecar.md, section 3), without the paths of the indexed form. Each value is checked when
 * it is read. @throws SidecarError for a value that breaks the format, RangeError for an entry or row that does not exist
 */
export class EntryColumns {
  /** Number of all entries. Those before `live` exist in the layer's final state; the others are shadowed. */
  readonly count: number;
  readonly live: number;
  readonly layout: SidecarLayout;
  /** The bytes that the columns are read from. */
  readonly pages: Pages;
  readonly #modes: (SidecarMode | undefined)[] = [];

  constructor(layout: SidecarLayout, pages: Pages) {
    this.layout = layout;
    this.pages = pages;
    this.count = layout.count;
    this.live = layout.live;
  }

  /** The 32 bytes of the layer's diff ID. */
  get diffId(): Buffer {
    return Buffer.from(this.layout.diffId);
  }

  /** Keys of the columns that a later version added. They are not read. */
  get unknownKeys(): readonly string[] {
    return this.layout.unknown.map(({ key }) => key);
  }

  flags(entry: number): number {
    const at = this.at("whiteout", entry, 1);
    const flags = this.pages.u8(at);
    if (flags > 63 || (flags & Flag.shadowed) / Flag.shadowed !== Number(entry >= this.live)) throw invalid("flags", at);
    return flags;
  }

  /** Bytes of the unpacked file. */
  size(entry: number): number {
    return this.pages.u48(this.at("size", entry, 6));
  }

  /** Byte offset of the entry's own data in the uncompressed layer; 0 if it has none. */
  offset(entry: number): number {
    return this.pages.u48(this.at("offset", entry, 6));
  }

  mtime(entry: number): number {
    const at = this.at("mtime", entry, 8);
    const mtime = this.pages.i64(at);
    if (!Number.isSafeInteger(mtime)) throw invalid("mtime", at);
    return mtime;
  }

  mtimeNs(entry: number): number {
    const at = this.at("mtimeNs", entry, 4);
    const ns = this.pages.u32(at);
    if (ns > 999_999_999) throw invalid("mtimeNs", at);
    return ns;
  }

  /** Row in the chunk table, or -1. */
  chunk(entry: number): number {
    const at = this.at("chunk", entry, 4);
    const row = this.pages.u32(at);
    if (row === NO_ROW) return -1;
    if (row >= this.chunkCount) throw invalid("chunk", at);
    return row;
  }

  /** True for an entry whose data is in the tar and is stored as a chunk, so that `headers` leaves it out. */
  hasData(entry: number): boolean {
    return this.chunk(entry) !== -1 && this.offset(entry) !== 0;
  }

  /** Row in the mode table. */
  modeRow(entry: number): number {
    const wide = this.modeCount > 65_536;
    const at = this.at("mode", entry, wide ? 4 : 2);
    const row = wide ? this.pages.u32(at) : this.pages.u16(at);
    if (row >= this.modeCount) throw invalid("mode", at);
    return row;
  }

  /** st_mode with its type bits. */
  mode(entry: number): number {
    return this.#fullMode(this.modeRow(entry));
  }

  /** A row of the mode table. The returned object is shared: do not change it. */
  modeAt(row: number): SidecarMode {
    const kept = this.#modes[row];
    if (kept !== undefined) return kept;
    const at = this.row("modeTable", row, MODE_ROW);
    const field = (offset: number): number => this.pages.u32(at + offset);
    const [uid, gid, rdevMajor, rdevMinor, set] = [field(4), field(8), field(12), field(16), this.xattrRow(row)];
    const mode = { mode: this.#fullMode(row), uid, gid, rdevMajor, rdevMinor, xattrs: set === -1 ? [] : this.xattrSet(set) };
    if (row < KEPT_MODES) this.#modes[row] = mode;
    return mode;
  }

  /** The row of a mode row's xattr set; -1 if it has no xattrs. */
  xattrRow(row: number): number {
    const at = this.row("modeTable", row, MODE_ROW) + 20;
    const set = this.pages.u32(at);
    if (set > this.xattrSetCount) throw invalid("modeTable", at);
    return set - 1;
  }

  /** An xattr set. Rows count from 0, as xattrRow() returns them. */
  xattrSet(row: number): readonly Xattr[] {
    const { start, length } = this.stringSpan("xattrs", "xattrsEnd", row, MAX_XATTR_SET);
    return decodeXattrs(this.pages.copy(start, length), start);
  }

  /** Target of a symlink; "" for any other entry. */
  target(entry: number): string {
    const row = this.linkRow(entry);
    return row === -1 ? "" : this.targetAt(row);
  }

  /** Row in the table of targets, or -1. */
  linkRow(entry: number): number {
    const at = this.at("link", entry, 4);
    const row = this.pages.u32(at);
    if (row > this.layout.spans.linkPathEnd.length / 4) throw invalid("link", at);
    return row - 1;
  }

  targetAt(row: number): string {
    return this.string("linkPath", "linkPathEnd", row);
  }

  /** Path of a row of the directory table. */
  directory(row: number): string {
    return this.string("dirPath", "dirPathEnd", row);
  }

  /** The leader of the entry's hard-link group; -1 if the entry is in no group. */
  leader(entry: number): number {
    if ((this.flags(entry) & Flag.hardLink) === 0) return -1;
    let [low, high] = [0, this.hardLinkCount];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.hardLinkAt(middle)[0] < entry) low = middle + 1;
      else high = middle;
    }
    const pair = low < this.hardLinkCount ? this.hardLinkAt(low) : undefined;
    if (pair?.[0] !== entry) throw invalid("hardLinks", this.layout.spans.hardLinks.start);
    return pair[1];
  }

  /** A pair of the hard-link table: member, leader. */
  hardLinkAt(row: number): readonly [number, number] {
    const at = this.row("hardLinks", row, HARD_LINK_ROW);
    const pair = [this.pages.u32(at), this.pages.u32(at + 4)] as const;
    if (pair[0] >= this.count || pair[1] >= this.count) throw invalid("hardLinks", at);
    return pair;
  }

  /** A copy of a chunk id. */
  chunkId(row: number): Buffer & ChunkId {
    return this.pages.copy(this.row("chunks", row, CHUNK_ROW), CHUNK_ROW) as Buffer & ChunkId;
  }

  /** A chunk id in hexadecimal. */
  chunkHex(row: number): ChunkHex {
    return this.pages.hex(this.row("chunks", row, CHUNK_ROW), CHUNK_ROW) as ChunkHex;
  }

  /** A copy of all chunk ids, 32 bytes each. */
  chunkTable(): Buffer {
    const { start, length } = this.layout.spans.chunks;
    return this.pages.copy(start, length);
  }

  /** The `path` column: the full path of a shadowed entry and of any entry of the unindexed form, otherwise the name. */
  storedPath(entry: number): string {
    this.#check(entry);
    return this.string("path", "pathEnd", entry);
  }

  /** The full path. The indexed form overrides it. */
  path(entry: number): string {
    const path = this.storedPath(entry);
    if (entry < this.live && (!isPath(path) || (path === "") !== (entry === 0))) throw invalid("path", this.layout.spans.path.start);
    return path;
  }

  entry(entry: number): SidecarEntry {
    return {
      path: this.path(entry),
      ...this.modeAt(this.modeRow(entry)),
      mtime: this.mtime(entry),
      mtimeNs: this.mtimeNs(entry),
      size: this.size(entry),
      offset: this.offset(entry),
      chunk: this.chunk(entry),
      flags: this.flags(entry),
      target: this.target(entry),
      leader: this.leader(entry),
    };
  }

  /** The k-th entry of the layer's tar, k from 0 to `tarCount` - 1. */
  tarEntry(k: number): number {
    const at = this.row("order", k, 4);
    const entry = this.pages.u32(at);
    if (entry >= this.count) throw invalid("order", at);
    return entry;
  }

  /** Entry numbers in the order of the layer's tar, with shadowed entries and without implicit ones. */
  *tarOrder(): Generator<number, void, undefined> {
    for (let k = 0; k < this.tarCount; k++) yield this.tarEntry(k);
  }

  get tarCount(): number {
    return this.layout.spans.order.length / 4;
  }

  get chunkCount(): number {
    return this.layout.spans.chunks.length / CHUNK_ROW;
  }

  get modeCount(): number {
    return this.layout.spans.modeTable.length / MODE_ROW;
  }

  get xattrSetCount(): number {
    return this.layout.spans.xattrsEnd.length / 4;
  }

  get hardLinkCount(): number {
    return this.layout.spans.hardLinks.length / HARD_LINK_ROW;
  }

  close(): void {
    this.pages.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** A string of a table: bytes and their end offsets. */
  protected string(bytes: ColumnName, ends: ColumnName, row: number): string {
    const { start, length } = this.stringSpan(bytes, ends, row, MAX_PATH);
    return this.pages.latin1(start, start + length);
  }

  protected stringSpan(bytes: ColumnName, ends: ColumnName, row: number, limit: number): Span {
    const at = this.row(ends, row, 4);
    const start = row === 0 ? 0 : this.pages.u32(at - 4);
    const end = this.pages.u32(at);
    const span = this.layout.spans[bytes];
    if (start > end || end > span.length || end - start > limit) throw invalid(ends, at);
    return { start: span.start + start, length: end - start };
  }

  /** The bytes of a table's row as a byte string. */
  rawRow(table: ColumnName, row: number, width: number): string {
    const at = this.row(table, row, width);
    return this.pages.latin1(at, at + width);
  }

  /** Position of an entry's row in a column. */
  protected at(column: ColumnName, entry: number, width: number): number {
    this.#check(entry);
    return this.layout.spans[column].start + entry * width;
  }

  /** Position of a row in a table. */
  protected row(table: ColumnName, row: number, width: number): number {
    const { start, length } = this.layout.spans[table];
    if (!(row >= 0 && row * width < length)) throw new RangeError(`read sidecar: ${table} has no row ${row}`);
    return start + row * width;
  }

  #check(entry: number): void {
    if (!(entry >= 0 && entry < this.count)) throw new RangeError(`read sidecar: entry ${entry} does not exist`);
  }

  #fullMode(row: number): number {
    const at = this.row("modeTable", row, MODE_ROW);
    const mode = this.pages.u32(at);
    if (mode > 0o177777) throw invalid("modeTable", at);
    return mode;
  }
}
