import { Flag, isName, isPath, nameOf, parentOf } from "./entry.ts";
import type { SidecarEntry } from "./entry.ts";
import { ModeTable, StringTable } from "./entry-tables.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { BLOCK, CHUNK_ROW, COLUMNS, MAX_LENGTH, MAX_PATH, NO_ROW } from "./columns.ts";
import type { ColumnName } from "./columns.ts";
import { littleEndian, NumberColumns } from "./number-columns.ts";
import { encodeBinStart, encodeHeader } from "./sidecar-header.ts";
import { loadXxh64 } from "./xxh64.ts";
import type { Xxh64 } from "./xxh64.ts";

export interface SidecarWriterOptions {
  /** The 32 bytes of the layer's diff ID. */
  readonly diffId: Uint8Array;
  /** Whether to write the path index. It decides in which order entries must be added. */
  readonly indexed: boolean;
  /** Number of entries in the layer's final state. They must be added first. */
  readonly live: number;
  /** Approximate number of entries, if known. It saves memory during writing. */
  readonly expected?: number;
}

/** The columns that are not per entry. */
export interface SidecarTail {
  /** Entry numbers in the order of the layer's tar, without implicit entries. */
  readonly order: Uint32Array;
  /** Chunk ids, 32 bytes each, in the order in which entries with data of their own first use them in the tar. */
  readonly chunks: Uint8Array;
}

/** An entry without its path. */
export type SidecarAttributes = Omit<SidecarEntry, "path">;

/**
 * Encodes a sidecar, entry by entry in file order (sidecar.md, section 3). Live entries come first, and the root is the first of them; in
 * the indexed form they are sorted by `comparePaths`. Equal entries give equal bytes. It holds about 40 bytes per entry and the bytes of
 * the paths; `finish` also holds the file. It copies what it needs of an entry, so the caller may reuse one object.
 * @throws RangeError for an entry that the format cannot hold
 */
export class SidecarWriter {
  readonly #options: SidecarWriterOptions;
  readonly #modes: ModeTable = new ModeTable();
  readonly #targets: StringTable = new StringTable();
  readonly #path: GrowingBuffer;
  readonly #dirPath: GrowingBuffer = new GrowingBuffer();
  readonly #dirPathEnd: GrowingBuffer = new GrowingBuffer();
  readonly #dirFirst: GrowingBuffer = new GrowingBuffer();
  readonly #hardLinks: GrowingBuffer = new GrowingBuffer();
  #columns: NumberColumns;
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
    const rows = Math.ceil(Math.min(Math.max(options.expected ?? options.live, 1), MAX_LENGTH / 64));
    this.#path = new GrowingBuffer(rows * 16);
    this.#columns = new NumberColumns(rows);
  }

  /** Number of entries added so far, which is the number of the next one. */
  get count(): number {
    return this.#count;
  }

  add(entry: SidecarEntry): void {
    const { path } = entry;
    if (this.#count >= this.#options.live) return this.#add("", path, entry);
    if (!isPath(path)) throw notAPath();
    this.#add(parentOf(path), nameOf(path), entry);
  }

  /** Adds a live entry by its directory and name; both are empty for the root. */
  addNamed(directory: string, name: string, entry: SidecarAttributes): void {
    if (this.#count >= this.#options.live) throw new RangeError("add sidecar entry: only live entries have a name in a directory");
    if (this.#count > 0 && !isName(name)) throw notAPath();
    if (directory !== this.#directory && !isPath(directory)) throw notAPath();
    this.#add(directory, name, entry);
  }

  /** Returns the file. The writer must not be used afterwards. */
  async finish({ order, chunks }: SidecarTail): Promise<Buffer> {
    const { indexed, live } = this.#options;
    const count = this.#count;
    if (count < live) throw new RangeError(`write sidecar: ${live} live entries were announced, but only ${count} were added`);
    if (order.length !== count - this.#implicit) throw new RangeError("write sidecar: `order` does not have one row per entry of the tar");
    for (let k = 0; k < order.length; k++)
      if ((order[k] as number) >= count) throw new RangeError("write sidecar: `order` names an entry that was not added");
    if (this.#maxLeader >= count) throw new RangeError("write sidecar: a leader was not added");
    if (chunks.length % CHUNK_ROW !== 0 || this.#maxChunk >= chunks.length / CHUNK_ROW)
      throw new RangeError("write sidecar: an entry's chunk is not in the table");
    if (indexed) this.#dirFirst.u32(live);
    const columns = this.#columns;
    const bins: Record<ColumnName, Buffer> = {
      path: this.#path.view(),
      pathEnd: littleEndian(columns.pathEnd, count),
      dirPath: this.#dirPath.view(),
      dirPathEnd: this.#dirPathEnd.view(),
      dirFirst: this.#dirFirst.view(),
      offset: littleEndian(columns.offset, count * 3),
      size: littleEndian(columns.size, count * 3),
      mode: littleEndian(this.#modes.rows > 65_536 ? columns.mode.subarray(0, count) : Uint16Array.from(columns.mode.subarray(0, count))),
      mtime: littleEndian(columns.mtime, count * 2),
      mtimeNs: littleEndian(columns.mtimeNs, count),
      whiteout: Buffer.from(columns.flags.buffer, 0, count),
      link: littleEndian(columns.link, count),
      chunk: littleEndian(columns.chunk, count),
      order: littleEndian(order),
      modeTable: this.#modes.bytes.view(),
      xattrs: this.#modes.xattrs.bytes.view(),
      xattrsEnd: this.#modes.xattrs.ends.view(),
      linkPath: this.#targets.bytes.view(),
      linkPathEnd: this.#targets.ends.view(),
      hardLinks: this.#hardLinks.view(),
      chunks: Buffer.from(chunks.buffer, chunks.byteOffset, chunks.length),
    };
    return assemble(this.#options, count, bins, await loadXxh64());
  }

  #add(directory: string, name: string, entry: SidecarAttributes): void {
    checkEntry(entry);
    const { mtime, size, offset, chunk, leader, target } = entry;
    const index = this.#count;
    const flags = this.#flagsOf(entry);
    this.#addPath(directory, name);
    if (index === this.#columns.room) this.#columns = this.#columns.grown();
    const columns = this.#columns;
    columns.pathEnd[index] = this.#path.length;
    columns.offset[index * 3] = offset;
    columns.offset[index * 3 + 1] = offset >>> 16;
    columns.offset[index * 3 + 2] = offset / 2 ** 32;
    columns.size[index * 3] = size;
    columns.size[index * 3 + 1] = size >>> 16;
    columns.size[index * 3 + 2] = size / 2 ** 32;
    columns.mode[index] = this.#modes.row(entry);
    columns.mtime[index * 2] = mtime;
    columns.mtime[index * 2 + 1] = Math.floor(mtime / 2 ** 32);
    columns.mtimeNs[index] = entry.mtimeNs;
    columns.flags[index] = flags;
    columns.link[index] = target === "" ? 0 : 1 + this.#targets.row(target);
    columns.chunk[index] = chunk === -1 ? NO_ROW : chunk;
    if (leader !== -1) {
      this.#hardLinks.u32(index);
      this.#hardLinks.u32(leader);
    }
    if (chunk > this.#maxChunk) this.#maxChunk = chunk;
    if (leader > this.#maxLeader) this.#maxLeader = leader;
    if ((flags & Flag.implicit) !== 0) this.#implicit++;
    this.#count++;
  }

  #flagsOf(entry: SidecarAttributes): number {
    const shadowed = this.#count >= this.#options.live;
    if (!shadowed && entry.flags & Flag.shadowed) throw new RangeError("add sidecar entry: a live entry is marked shadowed");
    if (entry.leader === -1 && entry.flags & Flag.hardLink) throw new RangeError("add sidecar entry: a hard link without its leader");
    return entry.flags | (shadowed ? Flag.shadowed : 0) | (entry.leader === -1 ? 0 : Flag.hardLink);
  }

  #addPath(directory: string, name: string): void {
    if (directory.length + name.length + (directory === "" ? 0 : 1) > MAX_PATH) throw notAPath();
    const live = this.#count < this.#options.live;
    if (live && (name === "") !== (this.#count === 0)) throw notAPath();
    if (live && name !== "" && this.#options.indexed) this.#place(directory, name);
    else if (directory !== "") this.#path.latin1(`${directory}/`);
    this.#path.latin1(name);
  }

  /** Starts a new row for the directory if this is its first name. */
  #place(directory: string, name: string): void {
    const same = directory === this.#directory;
    if (same ? name <= this.#name : this.#directory !== undefined && directory < this.#directory)
      throw new RangeError("add sidecar entry: the entry is not in the order of comparePaths");
    this.#name = name;
    if (same) return;
    this.#directory = directory;
    this.#dirFirst.u32(this.#count);
    this.#dirPath.latin1(directory);
    this.#dirPathEnd.u32(this.#dirPath.length);
  }
}

/** Encodes a list of entries with a SidecarWriter. */
export async function encodeSidecar(
  input: Omit<SidecarWriterOptions, "expected"> & SidecarTail & { readonly entries: readonly SidecarEntry[] },
): Promise<Buffer> {
  const writer = new SidecarWriter({ ...input, expected: input.entries.length });
  for (const entry of input.entries) writer.add(entry);
  return writer.finish(input);
}

const U48_MAX = 2 ** 48 - 1;

function checkEntry(entry: SidecarAttributes): void {
  const { mode, uid, gid, rdevMajor, rdevMinor, mtimeNs, size, offset, chunk, flags, leader } = entry;
  // `x >>> 0 === x`: x is a u32
  const ok =
    mode >>> 0 === mode &&
    mode <= 0o177777 &&
    uid >>> 0 === uid &&
    gid >>> 0 === gid &&
    rdevMajor >>> 0 === rdevMajor &&
    rdevMinor >>> 0 === rdevMinor &&
    Number.isSafeInteger(entry.mtime) &&
    mtimeNs >>> 0 === mtimeNs &&
    mtimeNs <= 999_999_999 &&
    isUint(size, U48_MAX) &&
    isUint(offset, U48_MAX) &&
    (chunk + 1) >>> 0 === chunk + 1 &&
    flags >>> 0 === flags &&
    flags <= 63 &&
    (leader + 1) >>> 0 === leader + 1 &&
    entry.target.length <= MAX_PATH;
  if (!ok) throw new RangeError("add sidecar entry: a value is not an integer, out of range or too long");
}

function notAPath(): RangeError {
  return new RangeError("add sidecar entry: the path is invalid");
}

function isUint(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

/** Concatenates the bins and computes the checksums. */
async function assemble(options: SidecarWriterOptions, count: number, bins: Record<ColumnName, Buffer>, xxh64: Xxh64): Promise<Buffer> {
  const lengths: number[] = [...COLUMNS.map((name) => bins[name].length), 0];
  const header = { diffId: Buffer.from(options.diffId), count, live: options.live, indexed: options.indexed, lengths };
  let sumsAt = (await encodeHeader(header)).length;
  for (const name of COLUMNS) sumsAt += name.length + 6 + bins[name].length;
  const sums = 8 * (Math.ceil(sumsAt / BLOCK) + 1);
  lengths[COLUMNS.length] = sums;
  const sumsStart = encodeBinStart("sums", sums);
  const total = sumsAt + sumsStart.length + sums;
  if (total >= MAX_LENGTH) throw new RangeError(`write sidecar: ${total} bytes are too many`);
  const file = Buffer.allocUnsafeSlow(total);
  let at = (await encodeHeader(header)).copy(file);
  for (const name of COLUMNS) {
    at += encodeBinStart(name, bins[name].length).copy(file, at);
    bins[name].copy(file, at);
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
