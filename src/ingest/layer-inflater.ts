/**
 * One layer on its way through one worker: compressed bytes from its ring, hashed, inflated into slabs, hashed again, and cut at
 * entry boundaries. A file that does not fit a slab is stored from here, piece by piece. Every byte to the end of the stream is
 * hashed, what follows the archive's end included.
 */
import { createHash, type Hash } from "node:crypto";
import { HeadersEncoder } from "../../format/headers-encoder.ts";
import { ShaleError } from "../errors.ts";
import { digestAlgorithm, parseBlobDigest, parseDiffId, type BlobDigest, type DiffId } from "../image/digest.ts";
import { measureEntry, type EntryExtent } from "../tar/measure-entry.ts";
import { readEntry } from "../tar/read-entry.ts";
import type { ScanOptions } from "../tar/scan.ts";
import type { ChunkStream, ChunkWriter } from "./chunk-writer.ts";
import { createInflater, sniffCompression, type Inflater } from "./inflate.ts";
import { fileAttributes, noteData } from "./ingest-slab.ts";
import { LayerBudget, type LayerLimits } from "./layer-limits.ts";
import { PartBuilder, type Part } from "./part.ts";
import { RingReader } from "./ring.ts";
import { SLAB_BYTES, type Slabs } from "./slabs.ts";
import { SparseFile } from "./sparse-file.ts";
import type { TreePlaces } from "./tree-places.ts";

export interface LayerTask {
  /** Number of the layer among those in flight. */
  readonly layer: number;
  readonly ring: SharedArrayBuffer;
  /** One float64: uncompressed bytes so far. Written here, read by the main thread. */
  readonly progress: SharedArrayBuffer;
  readonly blobDigest: BlobDigest;
  /** Of the blob, as its descriptor says. */
  readonly blobBytes: number;
  readonly limits: LayerLimits;
}

export interface InflatedLayer {
  readonly parts: number;
  readonly blobDigest: BlobDigest;
  readonly diffId: DiffId;
  /** Uncompressed bytes. */
  readonly size: number;
}

export interface InflaterSurroundings {
  readonly slabs: Slabs;
  readonly chunks: ChunkWriter;
  /** In the layer's tree, if one is staged. */
  readonly places: TreePlaces | undefined;
  /** Is given the parts that no slab yields. */
  readonly emit: (part: Part) => void;
}

/** Compressed bytes taken in one step. */
const STEP = 64 * 1024;
/** Bytes that tell the compression. */
const MAGIC = 4;

/** A file larger than a slab, on its way to its chunk. */
interface LargeFile {
  readonly stream: ChunkStream | SparseFile;
  readonly part: PartBuilder;
  readonly headers: HeadersEncoder;
  readonly add: (stored: ReturnType<ChunkStream["finish"]>) => void;
  /** Bytes of data, then of padding, still to come. */
  data: number;
  padding: number;
}

export class LayerInflater {
  readonly task: LayerTask;
  readonly #slabs: Slabs;
  readonly #chunks: ChunkWriter;
  readonly #places: TreePlaces | undefined;
  readonly #emit: (part: Part) => void;
  readonly #ring: RingReader;
  readonly #blobHash: Hash;
  readonly #layerHash: Hash = createHash("sha256");
  readonly #progress: Float64Array;
  readonly #budget: LayerBudget;
  readonly #scan: Pick<ScanOptions, "headerLimit" | "xattrLimit">;
  #inflater: Inflater | undefined;
  #slab = -1;
  /** Bytes [start, fill) of the slab are not yet handed on. */
  #start = 0;
  #fill = 0;
  #size = 0;
  #sequence = 0;
  #large: LargeFile | undefined;
  /** Entries before this offset in the layer have been counted. */
  #measured = 0;
  #archiveEnded = false;
  #failure: unknown;

  constructor(task: LayerTask, { slabs, chunks, places, emit }: InflaterSurroundings) {
    this.task = task;
    this.#slabs = slabs;
    this.#chunks = chunks;
    this.#places = places;
    this.#emit = emit;
    this.#ring = new RingReader(task.ring);
    this.#blobHash = createHash(digestAlgorithm(task.blobDigest));
    this.#progress = new Float64Array(task.progress);
    this.#budget = new LayerBudget(task.limits, task.blobBytes);
    this.#scan = scanLimits(task.limits);
  }

  get aborted(): boolean {
    return this.#ring.aborted;
  }

  /** Does a little: "idle" when it must wait for input or a slab, the layer's sum when it is done. */
  async step(): Promise<"busy" | "idle" | InflatedLayer> {
    if (this.#failure !== undefined) return this.#drain();
    try {
      return await this.#advance();
    } catch (error) {
      if (!ShaleError.is(error, "LAYER_CORRUPT") && !ShaleError.is(error, "TAR_INVALID")) throw error;
      this.#failure = error;
      return "busy";
    }
  }

  /** Malformed bytes are the image's fault only if they are what the manifest names: the rest of the blob is hashed to tell. */
  #drain(): "busy" | "idle" {
    const ended = this.#ring.ended;
    const input = this.#ring.peek(STEP);
    this.#blobHash.update(input);
    this.#ring.consume(input.length);
    if (input.length > 0) return "busy";
    if (!ended) return "idle";
    const actual = this.#blobDigest();
    const expected = this.task.blobDigest;
    if (actual === expected) throw this.#failure;
    const message = `a layer's blob is ${actual}, expected ${expected}, and does not unpack; the connection or the registry damaged it, pull again`;
    throw new ShaleError("DIGEST_MISMATCH", message, { what: "blob", expected, actual }, { cause: this.#failure });
  }

  #blobDigest(): BlobDigest {
    return parseBlobDigest(`${digestAlgorithm(this.task.blobDigest)}:${this.#blobHash.digest("hex")}`);
  }

  async #advance(): Promise<"busy" | "idle" | InflatedLayer> {
    if (this.#fill === SLAB_BYTES && !this.#cut()) return "idle";
    if (this.#slab < 0 && !this.#takeSlab()) return "idle";
    const ended = this.#ring.ended;
    const input = this.#ring.peek(STEP);
    if (!ended && input.length < (this.#inflater ? 1 : MAGIC)) return "idle";
    this.#inflater ??= createInflater(sniffCompression(input));
    const room = this.#slabs.bytes(this.#slab).subarray(this.#fill);
    const { consumed, produced } = await this.#inflater.step(input, room, input.length === 0);
    this.#blobHash.update(input.subarray(0, consumed));
    this.#ring.consume(consumed);
    this.#took(room.subarray(0, produced));
    if (consumed === 0 && produced === 0 && input.length === 0) return this.#finish();
    return "busy";
  }

  /** Gives back what it holds; nothing of the layer stays but whole chunks. */
  close(): void {
    this.#ring.abort();
    this.#inflater?.close();
    if (this.#slab >= 0) this.#slabs.release(this.#slab);
    this.#slab = -1;
    const large = this.#large;
    this.#large = undefined;
    // last: it may fail
    large?.stream.discard();
  }

  #takeSlab(): boolean {
    this.#slab = this.#slabs.takeFree();
    return this.#slab >= 0;
  }

  #took(bytes: Buffer): void {
    this.#layerHash.update(bytes);
    this.#fill += bytes.length;
    this.#size += bytes.length;
    this.#progress[0] = this.#size;
    this.#budget.addBytes(bytes.length);
  }

  /** Hands on what is whole, and makes room; false while no free slab can take the tail. */
  #cut(): boolean {
    if (this.#large) return this.#feedLarge();
    if (this.#archiveEnded) return this.#keepRest();
    const bytes = this.#slabs.bytes(this.#slab);
    let at = this.#start;
    for (;;) {
      const entry = measureEntry(bytes, at, this.#fill, { ...this.#scan, base: this.#size - this.#fill });
      if (entry === "end") {
        this.#archiveEnded = true;
        return this.#hand(this.#fill);
      }
      if (entry === "more") break;
      this.#measure(entry, at);
      if (entry.end > this.#fill) {
        if (at > this.#start) break;
        if (entry.end - at > SLAB_BYTES || at === 0) return this.#openLarge(at);
        break;
      }
      at = entry.end;
    }
    return this.#hand(at);
  }

  /** Counts an entry once, however often a cut is tried. */
  #measure(entry: EntryExtent, at: number): void {
    const offset = this.#size - this.#fill + at;
    if (offset < this.#measured) return;
    this.#measured = offset + 1;
    this.#budget.addEntry(entry);
  }

  /** Queues [start, boundary) for any worker, and carries the tail over to a slab of its own. */
  #hand(boundary: number): boolean {
    const tail = this.#fill - boundary;
    if (boundary === 0) throw this.#truncated("headers of an entry exceed 1 MiB");
    const next = tail === 0 ? -1 : this.#slabs.takeFree();
    if (tail > 0 && next < 0) return false;
    if (tail > 0) this.#slabs.bytes(this.#slab).copy(this.#slabs.bytes(next), 0, boundary, this.#fill);
    if (boundary > this.#start) {
      const offset = this.#size - this.#fill + this.#start;
      this.#slabs.publish({
        slab: this.#slab,
        layer: this.task.layer,
        sequence: this.#sequence++,
        start: this.#start,
        end: boundary,
        offset,
      });
    } else this.#slabs.release(this.#slab);
    this.#slab = next;
    this.#start = 0;
    this.#fill = tail;
    return true;
  }

  #openLarge(at: number): boolean {
    const bytes = this.#slabs.bytes(this.#slab);
    const offset = this.#size - this.#fill;
    const entry = readEntry(bytes, at, this.#fill, { ...this.#scan, base: offset });
    if (typeof entry === "string") throw this.#truncated("an entry's headers are not whole");
    const part = new PartBuilder(this.#sequence++);
    const headers = new HeadersEncoder();
    headers.literal(bytes.subarray(at, entry.data));
    noteData(headers, entry);
    const add = (stored: ReturnType<ChunkStream["finish"]>): void => part.add(entry, offset + entry.data, stored);
    const file = this.#chunks.stream(fileAttributes(entry), entry.kind === "file" ? this.#places?.file(entry) : undefined);
    const stream = entry.sparse ? new SparseFile(file, entry.sparse, entry.size) : file;
    this.#large = { stream, part, headers, add, data: entry.stored, padding: entry.end - entry.data - entry.stored };
    this.#start = entry.data;
    return this.#feedLarge();
  }

  /** Moves what the slab has of the large file to its chunk; always makes room. */
  #feedLarge(): boolean {
    const large = this.#large!;
    const bytes = this.#slabs.bytes(this.#slab);
    const data = Math.min(large.data, this.#fill - this.#start);
    if (data > 0) large.stream.write(bytes.subarray(this.#start, this.#start + data));
    large.data -= data;
    this.#start += data;
    if (large.data === 0) this.#padLarge(large, bytes);
    if (this.#start === this.#fill) this.#start = this.#fill = 0;
    if (this.#fill < SLAB_BYTES) return true;
    return this.#cut();
  }

  #padLarge(large: LargeFile, bytes: Buffer): void {
    const padding = Math.min(large.padding, this.#fill - this.#start);
    large.headers.literal(bytes.subarray(this.#start, this.#start + padding));
    large.padding -= padding;
    this.#start += padding;
    if (large.padding === 0) this.#endLarge(large);
  }

  #endLarge(large: LargeFile): void {
    this.#large = undefined;
    large.add(large.stream.finish());
    this.#emit(large.part.build(large.headers.frame()));
  }

  /** Bytes after the archive's end belong to the layer, and to no entry. */
  #keepRest(): boolean {
    if (this.#fill > this.#start) {
      const headers = new HeadersEncoder();
      headers.literal(this.#slabs.bytes(this.#slab).subarray(this.#start, this.#fill));
      this.#emit(new PartBuilder(this.#sequence++).build(headers.frame()));
    }
    this.#start = this.#fill = 0;
    return true;
  }

  #finish(): InflatedLayer {
    if (this.#large) this.#feedLarge();
    if (this.#large?.data === 0) this.#endLarge(this.#large);
    if (this.#large) throw this.#truncated("a file's data is cut off");
    if (this.#fill > this.#start && !this.#archiveEnded) this.#finishEntries();
    else this.#keepRest();
    const blobDigest = this.#blobDigest();
    const diffId = parseDiffId(`sha256:${this.#layerHash.digest("hex")}`);
    return { parts: this.#sequence, blobDigest, diffId, size: this.#size };
  }

  /** The last slab: its entries must be whole. */
  #finishEntries(): void {
    const bytes = this.#slabs.bytes(this.#slab);
    let at = this.#start;
    while (at < this.#fill) {
      const entry = measureEntry(bytes, at, this.#fill, { ...this.#scan, base: this.#size - this.#fill, final: true });
      if (entry === "end") break;
      if (entry === "more" || entry.data + entry.stored > this.#fill) throw this.#truncated("its last entry is cut off");
      this.#measure(entry, at);
      at = entry.end;
    }
    this.#hand(this.#fill);
  }

  #truncated(why: string): ShaleError<"TAR_INVALID"> {
    return new ShaleError("TAR_INVALID", `the layer's tar archive is damaged: ${why}`, { offset: this.#size - this.#fill + this.#start });
  }
}

/** Whole blocks, and no more than a slab can hold. */
function scanLimits({ headerBytes, xattrBytes }: LayerLimits): Pick<ScanOptions, "headerLimit" | "xattrLimit"> {
  return { headerLimit: Math.min(headerBytes - (headerBytes % 512), SLAB_BYTES), xattrLimit: xattrBytes };
}
