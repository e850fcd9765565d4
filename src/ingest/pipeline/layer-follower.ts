/**
 * Follows a layer's uncompressed bytes, slab by slab: hashes all of them, and stores files larger than a slab. One worker does it for all slabs
 * of a layer: the one that inflates it, or the next. Many layers contain large files in sequence, which would otherwise occupy one core only.
 */
import { createHash, type Hash } from "node:crypto";
import { HeadersEncoder } from "../../../format/headers-encoder.ts";
import { parseDiffId, type DiffId } from "../../image/digest.ts";
import type { TarEntry } from "../../tar/entry.ts";
import type { ChunkWriter } from "../chunks/chunk-writer.ts";
import { PartBuilder, type Part } from "../layer/part.ts";
import type { FilledSlab } from "./slabs.ts";
import { noteData, openContent, readMeasured } from "../chunks/stored-entry.ts";
import type { StagedPaths } from "../chunks/staged-paths.ts";

export interface FollowerSurroundings {
  readonly chunks: ChunkWriter;
  /** Places in the layer's tree, if one is staged. */
  readonly places: StagedPaths | undefined;
}

export class LayerFollower {
  readonly #hash: Hash = createHash("sha256");
  #file: LargeFile | undefined;

  /** Takes all slabs of the layer in order. Returns a part at the end of a large file, and for the bytes after the archive's end. */
  take(bytes: Buffer, filled: FilledSlab, surroundings: FollowerSurroundings): Part | undefined {
    this.#hash.update(bytes);
    switch (filled.content) {
      case "entries":
      case "end":
        return undefined;
      case "rest":
        return restPart(bytes, filled);
      case "piece":
      case "last-piece":
        return this.#store(bytes, filled, surroundings);
    }
  }

  /** The digest of all bytes. Call it once. */
  diffId(): DiffId {
    return parseDiffId(`sha256:${this.#hash.digest("hex")}`);
  }

  /** Removes an incomplete file. */
  discard(): void {
    this.#file?.discard();
  }

  #store(bytes: Buffer, filled: FilledSlab, surroundings: FollowerSurroundings): Part | undefined {
    const file = (this.#file ??= new LargeFile(bytes, filled, surroundings));
    file.write(bytes);
    if (filled.content === "piece") return undefined;
    const part = file.finish();
    this.#file = undefined;
    return part;
  }
}

function restPart(bytes: Buffer, { sequence }: FilledSlab): Part {
  const headers = new HeadersEncoder();
  headers.literal(bytes);
  return new PartBuilder(sequence).build(headers.frame());
}

class LargeFile {
  readonly #entry: TarEntry;
  /** Offset of the data in the uncompressed layer. */
  readonly #offset: number;
  readonly #content: ReturnType<typeof openContent>;
  readonly #part: PartBuilder;
  readonly #headers: HeadersEncoder = new HeadersEncoder();
  /** Remaining bytes of headers and data; padding follows. */
  #head: number;
  #data: number;

  /** `bytes`: the first piece, not stored yet. */
  constructor(bytes: Buffer, { sequence, offset }: FilledSlab, { chunks, places }: FollowerSurroundings) {
    const entry = readMeasured(bytes, 0, offset);
    if (typeof entry === "string") throw new RangeError("store a large file: its first piece has not all of its headers");
    this.#entry = entry;
    this.#offset = offset + entry.data;
    this.#part = new PartBuilder(sequence);
    this.#head = entry.data;
    this.#data = entry.stored;
    this.#content = openContent(chunks, entry, entry.kind === "file" ? places?.file(entry) : undefined);
  }

  write(bytes: Buffer): void {
    const start = this.#head;
    const end = Math.min(start + this.#data, bytes.length);
    if (start > 0) {
      this.#headers.literal(bytes.subarray(0, start));
      noteData(this.#headers, this.#entry);
      this.#head = 0;
    }
    if (end > start) this.#content.write(bytes.subarray(start, end));
    this.#data -= end - start;
    this.#headers.literal(bytes.subarray(end));
  }

  finish(): Part {
    this.#part.add(this.#entry, this.#offset, this.#content.finish());
    return this.#part.build(this.#headers.frame());
  }

  discard(): void {
    this.#content.discard();
  }
}
