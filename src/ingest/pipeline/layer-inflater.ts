/**
 * Inflates one layer in one worker: reads compressed bytes from its ring, hashes them, inflates them into slabs, and cuts these at entry
 * boundaries. An entry larger than a slab is cut in pieces. All slabs go to the follower of the layer in order, including the bytes after the
 * archive's end.
 */
import { createHash, type Hash } from "node:crypto";
import { ShaleError } from "../../errors.ts";
import { SNIFF_BYTES, sniffCompression } from "../../image/compression.ts";
import { digestAlgorithm, digestMismatch, parseBlobDigest, type BlobDigest } from "../../image/digest.ts";
import { measureEntry, type EntryExtent } from "../../tar/measure-entry.ts";
import type { ScanOptions } from "../../tar/scan.ts";
import { createInflater, type Inflater } from "./inflate.ts";
import { LayerBudget, type LayerLimits } from "../layer/layer-limits.ts";
import { RingReader } from "./ring.ts";
import { SLAB_BYTES, type FilledSlab, type SlabContent, type Slabs } from "./slabs.ts";

export interface LayerTask {
  /** Number of the layer among those in flight. */
  readonly layer: number;
  readonly ring: SharedArrayBuffer;
  /** One float64: uncompressed bytes so far. Written here, read by the main thread. */
  readonly progress: SharedArrayBuffer;
  readonly blobDigest: BlobDigest;
  /** Bytes of the blob, by its descriptor. */
  readonly blobBytes: number;
  readonly limits: LayerLimits;
}

export interface InflatedLayer {
  readonly parts: number;
  readonly blobDigest: BlobDigest;
  /** Uncompressed bytes. */
  readonly size: number;
}

export interface InflaterSurroundings {
  readonly slabs: Slabs;
  /** Takes over a slab. */
  readonly pass: (filled: FilledSlab) => void;
}

/** Compressed bytes taken in one step. */
const STEP = 64 * 1024;

/** An entry larger than a slab, with pieces still to be passed on. */
interface LargeEntry {
  /** Bytes to the end of its data, and to the end of its padding. */
  data: number;
  end: number;
}

export class LayerInflater {
  readonly task: LayerTask;
  readonly #slabs: Slabs;
  readonly #pass: (filled: FilledSlab) => void;
  readonly #ring: RingReader;
  readonly #blobHash: Hash;
  readonly #progress: Float64Array;
  readonly #budget: LayerBudget;
  readonly #scan: Pick<ScanOptions, "headerLimit" | "xattrLimit">;
  #inflater: Inflater | undefined;
  #slab = -1;
  /** Bytes in the slab. */
  #fill = 0;
  #size = 0;
  #sequence = 0;
  #large: LargeEntry | undefined;
  /** Entries before this offset in the layer have been counted. */
  #measured = 0;
  #archiveEnded = false;
  /** All bytes have been passed on. */
  #finished = false;
  #failure: unknown;

  constructor(task: LayerTask, { slabs, pass }: InflaterSurroundings) {
    this.task = task;
    this.#slabs = slabs;
    this.#pass = pass;
    this.#ring = new RingReader(task.ring);
    this.#blobHash = createHash(digestAlgorithm(task.blobDigest));
    this.#progress = new Float64Array(task.progress);
    this.#budget = new LayerBudget(task.limits, task.blobBytes);
    this.#scan = scanLimits(task.limits);
  }

  get aborted(): boolean {
    return this.#ring.aborted;
  }

  /** Does one step. Returns "idle" if it must wait for input or a slab, and the result at the end. */
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

  /** Hashes the rest of a malformed blob: only if its digest is right, the image itself is at fault. */
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
    const advice = "it cannot be unpacked either: the connection or the registry damaged it, pull again";
    throw digestMismatch({ what: "blob", expected, actual, subject: "the blob of a layer", advice, cause: this.#failure });
  }

  #blobDigest(): BlobDigest {
    return parseBlobDigest(`${digestAlgorithm(this.task.blobDigest)}:${this.#blobHash.digest("hex")}`);
  }

  async #advance(): Promise<"busy" | "idle" | InflatedLayer> {
    if (this.#fill >= Math.min(this.#large?.end ?? SLAB_BYTES, SLAB_BYTES) && !this.#cut()) return "idle";
    if (this.#slab < 0 && !this.#takeSlab()) return "idle";
    if (this.#finished) return this.#end();
    const ended = this.#ring.ended;
    const input = this.#ring.peek(STEP);
    if (!ended && input.length < (this.#inflater ? 1 : SNIFF_BYTES)) return "idle";
    this.#inflater ??= createInflater(sniffCompression(input));
    const room = this.#slabs.bytes(this.#slab).subarray(this.#fill);
    const { consumed, produced } = await this.#inflater.step(input, room, input.length === 0);
    this.#blobHash.update(input.subarray(0, consumed));
    this.#ring.consume(consumed);
    this.#took(produced);
    if (consumed === 0 && produced === 0 && input.length === 0) this.#finish();
    return "busy";
  }

  /** Releases its slab and inflater. */
  close(): void {
    this.#ring.abort();
    this.#inflater?.close();
    if (this.#slab >= 0) this.#slabs.release(this.#slab);
    this.#slab = -1;
  }

  #takeSlab(): boolean {
    this.#slab = this.#slabs.takeFree();
    return this.#slab >= 0;
  }

  #took(bytes: number): void {
    this.#fill += bytes;
    this.#size += bytes;
    this.#progress[0] = this.#size;
    this.#budget.addBytes(bytes);
  }

  /** Passes on complete entries to make room; false while no free slab can take the tail. */
  #cut(): boolean {
    if (this.#large) return this.#handPiece(this.#large);
    if (this.#archiveEnded) return this.#keepRest();
    const bytes = this.#slabs.bytes(this.#slab);
    let at = 0;
    for (;;) {
      const entry = measureEntry(bytes, at, this.#fill, { ...this.#scan, base: this.#size - this.#fill });
      if (entry === "end") {
        this.#archiveEnded = true;
        return this.#hand(this.#fill);
      }
      if (entry === "more") break;
      this.#measure(entry, at);
      if (entry.end > this.#fill) {
        if (at > 0) break;
        return this.#handPiece((this.#large = { data: entry.data + entry.stored, end: entry.end }));
      }
      at = entry.end;
    }
    return this.#hand(at);
  }

  /** Counts an entry once, even if the cut is tried repeatedly. */
  #measure(entry: EntryExtent, at: number): void {
    const offset = this.#size - this.#fill + at;
    if (offset < this.#measured) return;
    this.#measured = offset + 1;
    this.#budget.addEntry(entry);
  }

  #hand(boundary: number): boolean {
    if (boundary === 0) throw this.#truncated("headers of an entry exceed 1 MiB");
    return this.#give("entries", boundary);
  }

  /** Passes on the part of a large entry that is in the slab. */
  #handPiece(large: LargeEntry, layerEnds = false): boolean {
    const count = Math.min(large.end, this.#fill);
    const last = layerEnds || count === large.end;
    if (!this.#give(last ? "last-piece" : "piece", count)) return false;
    large.data -= count;
    large.end -= count;
    if (last) this.#large = undefined;
    return true;
  }

  /** Bytes after the archive's end belong to the layer, but to no entry. */
  #keepRest(): boolean {
    return this.#fill === 0 || this.#give("rest", this.#fill);
  }

  /** Passes on the bytes before `boundary`, and copies the tail to a new slab; false while none is free. */
  #give(content: SlabContent, boundary: number): boolean {
    const tail = this.#fill - boundary;
    const next = tail === 0 ? -1 : this.#slabs.takeFree();
    if (tail > 0 && next < 0) return false;
    if (tail > 0) this.#slabs.bytes(this.#slab).copy(this.#slabs.bytes(next), 0, boundary, this.#fill);
    const [slab, sequence, offset] = [this.#slab, this.#sequence, this.#size - this.#fill];
    if (content !== "piece" && content !== "end") this.#sequence++;
    this.#slab = next;
    this.#fill = tail;
    this.#pass({ slab, content, layer: this.task.layer, sequence, end: boundary, offset });
    return true;
  }

  /** Passes on the rest of the layer. */
  #finish(): void {
    if (this.#large && this.#large.data > this.#fill) throw this.#truncated("a file's data is cut off");
    if (this.#large) this.#handPiece(this.#large, true);
    else if (this.#archiveEnded) this.#keepRest();
    else if (this.#fill > 0) this.#finishEntries();
    this.#finished = true;
  }

  #end(): InflatedLayer {
    this.#give("end", 0);
    return { parts: this.#sequence, blobDigest: this.#blobDigest(), size: this.#size };
  }

  /** The last slab: its entries must be complete. */
  #finishEntries(): void {
    const bytes = this.#slabs.bytes(this.#slab);
    let at = 0;
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
    return new ShaleError("TAR_INVALID", `the layer's tar archive is damaged: ${why}`, { offset: this.#size - this.#fill });
  }
}

/** Whole blocks, at most the size of a slab. */
function scanLimits({ headerBytes, xattrBytes }: LayerLimits): Pick<ScanOptions, "headerLimit" | "xattrLimit"> {
  return { headerLimit: Math.min(headerBytes - (headerBytes % 512), SLAB_BYTES), xattrLimit: xattrBytes };
}
