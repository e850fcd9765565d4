import { compareBytes, Flag, isPath, nameOf, parentOf } from "./entry.ts";
import type { SidecarEntry } from "./entry.ts";
import { ModeTable, StringTable } from "./entry-tables.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { BLOCK, CHUNK_ROW, COLUMNS, MAX_LENGTH, MAX_PATH, NO_ROW } from "./columns.ts";
import type { ColumnName } from "./columns.ts";
import { encodeBinStart, encodeHeader } from "./sidecar-header.ts";
import { loadXxh64 } from "./xxh64.ts";
import type { Xxh64 } from "./xxh64.ts";

export interface SidecarWriterOptions {
  /** The 32 bytes of the layer's diff ID. */
  readonly diffId: Uint8Array;
  /** Whether the file holds the path index; it settles the order in which entries are added. */
  readonly indexed: boolean;
  /** How many entries exist in the layer's final state; they are added first. */
  readonly live: number;
  /** About how many entries there will be, if known: spares memory while writing. */
  readonly expected?: number;
}

/** What belongs to the layer as a whole. */
export interface SidecarTail {
  /** The entries (all but the implicit ones) as they stand in the layer's tar. */
  readonly order: Uint32Array;
  /** Chunk ids, 32 bytes each, in the order in which entries with data of their own first use them in the tar. */
  readonly chunks: Uint8Array;
}

/**
 * Encodes a sidecar, entry by entry in file order (sidecar.md, "Entries"): live entries first, the root before all; in the
 * indexed form they are sorted by `comparePaths`. Equal entries give equal bytes. An entry that the format cannot hold is
 * the caller's mistake: RangeError. Holds about 60 bytes an entry and the path bytes until `finish`, which doubles that.
 */
export class SidecarWriter {
  readonly #options: SidecarWriterOptions;
  readonly #columns: Record<"path" | "dirPath" | EntryColumn | "dirPathEnd" | "dirFirst" | "hardLinks", GrowingBuffer>;
  readonly #modes: ModeTable = new ModeTable();
  readonly #targets: StringTable = new StringTable();
  #count = 0;
  #implicit = 0;
  #maxChunk = -1;
  #maxLeader = -1;
  #directory: string | undefined;
  #name = "";

  constructor(options: SidecarWriterOptions) {
    if (options.diffId.length !== 32) throw new RangeError("write sidecar: a diff ID has 32 bytes");
    if (!isUint(options.live, NO_ROW) || options.live === 0) throw new RangeError("write sidecar: the root is always live");
    this.#options = options;
    const expected = options.expected ?? options.live;
    const column = (width: number): GrowingBuffer => new GrowingBuffer(Math.min(expected * width, MAX_LENGTH / 4));
    this.#columns = {
      path: column(16),
      pathEnd: column(4),
      dirPath: new GrowingBuffer(),
      dirPathEnd: new GrowingBuffer(),
      dirFirst: new GrowingBuffer(),
      offset: column(6),
      size: column(6),
      mode: column(4),
      mtime: column(8),
      mtimeNs: column(4),
      whiteout: column(1),
      link: column(4),
      chunk: column(4),
      hardLinks: new GrowingBuffer(),
    };
  }

  /** Entries added so far: the number of the next one. */
  get count(): number {
    return this.#count;
  }

  add(entry: SidecarEntry): void {
    checkEntry(entry);
    const index = this.#count;
    const flags = this.#flags(entry);
    this.#addPath(entry.path);
    const columns = this.#columns;
    columns.offset.u48(entry.offset);
    columns.size.u48(entry.size);
    columns.mode.u32(this.#modes.row(entry));
    columns.mtime.i64(entry.mtime);
    columns.mtimeNs.u32(entry.mtimeNs);
    columns.whiteout.u8(flags);
    columns.link.u32(entry.target === "" ? 0 : 1 + this.#targets.row(entry.target));
    columns.chunk.u32(entry.chunk === -1 ? NO_ROW : entry.chunk);
    if (entry.leader !== -1) {
      columns.hardLinks.u32(index);
      columns.hardLinks.u32(entry.leader);
    }
    this.#maxChunk = Math.max(this.#maxChunk, entry.chunk);
    this.#maxLeader = Math.max(this.#maxLeader, entry.leader);
    if ((flags & Flag.implicit) !== 0) this.#implicit++;
    this.#count++;
  }

  /** The file. The writer is not used again. */
  async finish({ order, chunks }: SidecarTail): Promise<Buffer> {
    const { indexed, live } = this.#options;
    if (this.#count < live) throw new RangeError(`write sidecar: ${live} live entries were promised, ${this.#count} came`);
    if (order.length !== this.#count - this.#implicit) throw new RangeError("write sidecar: order does not name every entry of the tar");
    if (order.some((entry) => entry >= this.#count)) throw new RangeError("write sidecar: order names an entry that was not added");
    if (this.#maxLeader >= this.#count) throw new RangeError("write sidecar: a leader was not added");
    if (chunks.length % CHUNK_ROW !== 0 || this.#maxChunk >= chunks.length / CHUNK_ROW)
      throw new RangeError("write sidecar: an entry's chunk is not in the table");
    if (indexed) this.#columns.dirFirst.u32(live);
    const bins: Record<ColumnName, Uint8Array> = {
      ...mapValues(this.#columns, (column) => column.view()),
      mode: this.#modes.rows > 65_536 ? this.#columns.mode.view() : narrow(this.#columns.mode.view()),
      order: littleEndian(order),
      modeTable: this.#modes.bytes.view(),
      xattrs: this.#modes.xattrs.bytes.view(),
      xattrsEnd: this.#modes.xattrs.ends.view(),
      linkPath: this.#targets.bytes.view(),
      linkPathEnd: this.#targets.ends.view(),
      chunks,
    };
    return assemble(this.#options, this.#count, bins, await loadXxh64());
  }

  #flags(entry: SidecarEntry): number {
    const shadowed = this.#count >= this.#options.live;
    if (!shadowed && entry.flags & Flag.shadowed) throw new RangeError("add sidecar entry: a live entry is marked shadowed");
    if (entry.leader === -1 && entry.flags & Flag.hardLink) throw new RangeError("add sidecar entry: a hard link without its leader");
    return entry.flags | (shadowed ? Flag.shadowed : 0) | (entry.leader === -1 ? 0 : Flag.hardLink);
  }

  #addPath(path: string): void {
    const { path: bytes, pathEnd } = this.#columns;
    const live = this.#count < this.#options.live;
    if (live && ((path === "") !== (this.#count === 0) || !isPath(path)))
      throw new RangeError("add sidecar entry: not the path of an entry");
    bytes.latin1(live && this.#options.indexed ? this.#placeName(path) : path);
    pathEnd.u32(bytes.length);
  }

  /** Opens the directory's row if the path is the first in it; the path's name is returned. */
  #placeName(path: string): string {
    if (path === "") return "";
    const directory = parentOf(path);
    const name = nameOf(path);
    const order = this.#directory === undefined ? 1 : compareBytes(directory, this.#directory) || compareBytes(name, this.#name);
    if (order <= 0) throw new RangeError("add sidecar entry: not in the order of comparePaths");
    if (directory !== this.#directory) {
      this.#columns.dirFirst.u32(this.#count);
      this.#columns.dirPath.latin1(directory);
      this.#columns.dirPathEnd.u32(this.#columns.dirPath.length);
      this.#directory = directory;
    }
    this.#name = name;
    return name;
  }
}

/** As `SidecarWriter`, for entries that are all at hand. */
export async function encodeSidecar(
  input: Omit<SidecarWriterOptions, "expected"> & SidecarTail & { readonly entries: readonly SidecarEntry[] },
): Promise<Buffer> {
  const writer = new SidecarWriter({ ...input, expected: input.entries.length });
  for (const entry of input.entries) writer.add(entry);
  return writer.finish(input);
}

type EntryColumn = "pathEnd" | "offset" | "size" | "mode" | "mtime" | "mtimeNs" | "whiteout" | "link" | "chunk";

const U32_MAX = 0xffff_ffff;
const U48_MAX = 2 ** 48 - 1;

function checkEntry(entry: SidecarEntry): void {
  const ok =
    isUint(entry.mode, 0o177777) &&
    isUint(entry.uid, U32_MAX) &&
    isUint(entry.gid, U32_MAX) &&
    isUint(entry.rdevMajor, U32_MAX) &&
    isUint(entry.rdevMinor, U32_MAX) &&
    Number.isSafeInteger(entry.mtime) &&
    isUint(entry.mtimeNs, 999_999_999) &&
    isUint(entry.size, U48_MAX) &&
    isUint(entry.offset, U48_MAX) &&
    isUint(entry.chunk + 1, U32_MAX) &&
    isUint(entry.flags, 63) &&
    isUint(entry.leader + 1, U32_MAX) &&
    entry.path.length <= MAX_PATH &&
    entry.target.length <= MAX_PATH;
  if (!ok) throw new RangeError("add sidecar entry: a value is not an integer, out of range or too long");
}

function isUint(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

/** Lays out the bins, then sums the blocks before `sums`. */
function assemble(options: SidecarWriterOptions, count: number, bins: Record<ColumnName, Uint8Array>, xxh64: Xxh64): Buffer {
  const lengths: number[] = [...COLUMNS.map((name) => bins[name].length), 0];
  const header = { diffId: Buffer.from(options.diffId), count, live: options.live, indexed: options.indexed, lengths };
  let sumsAt = encodeHeader(header).length;
  for (const name of COLUMNS) sumsAt += name.length + 6 + bins[name].length;
  const sums = 8 * (Math.ceil(sumsAt / BLOCK) + 1);
  lengths[COLUMNS.length] = sums;
  const sumsStart = encodeBinStart("sums", sums);
  const total = sumsAt + sumsStart.length + sums;
  if (total >= MAX_LENGTH) throw new RangeError(`write sidecar: ${total} bytes are too many`);
  const file = Buffer.allocUnsafeSlow(total);
  let at = encodeHeader(header).copy(file);
  for (const name of COLUMNS) {
    at += encodeBinStart(name, bins[name].length).copy(file, at);
    file.set(bins[name], at);
    at += bins[name].length;
  }
  at += sumsStart.copy(file, at);
  writeSums(file, sumsAt, at, xxh64);
  return file;
}

function writeSums(file: Buffer, end: number, at: number, xxh64: Xxh64): void {
  let row = at;
  for (let block = 0; block < end; block += BLOCK)
    row = file.writeBigUInt64LE(xxh64(file.subarray(block, Math.min(block + BLOCK, end))), row);
  file.writeBigUInt64LE(xxh64(file.subarray(at, row)), row);
}

/** u32 rows as u16 rows. */
function narrow(column: Buffer): Buffer {
  const narrowed = Buffer.allocUnsafeSlow(column.length / 2);
  for (let at = 0; at < narrowed.length; at += 2) narrowed.writeUInt16LE(column.readUInt16LE(at * 2), at);
  return narrowed;
}

function littleEndian(values: Uint32Array): Buffer {
  const bytes = Buffer.allocUnsafeSlow(values.length * 4);
  values.forEach((value, row) => bytes.writeUInt32LE(value, row * 4));
  return bytes;
}

function mapValues<K extends string, A, B>(record: Record<K, A>, map: (value: A) => B): Record<K, B> {
  return Object.fromEntries(Object.entries<A>(record).map(([name, value]) => [name, map(value)])) as Record<K, B>;
}
