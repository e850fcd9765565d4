/** Stores a sparse file: writes the extents of the archive to their offsets, and holes between them. */
import type { Extent } from "../../tar/entry.ts";
import type { ChunkStream } from "./chunk-writer.ts";
import type { StoredFile } from "../layer/part.ts";

export class SparseFile {
  readonly #stream: ChunkStream;
  readonly #extents: readonly Extent[];
  readonly #size: number;
  /** The current extent, and its bytes written so far. */
  #extent = 0;
  #written = 0;
  #position = 0;

  /** `extents` of the archive, in order and without overlap; `size`: bytes of the whole file. */
  constructor(stream: ChunkStream, extents: readonly Extent[], size: number) {
    this.#stream = stream;
    this.#extents = extents;
    this.#size = size;
  }

  /** The next stored bytes. */
  write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      const extent = this.#extents[this.#extent]!;
      const count = Math.min(extent.length - this.#written, bytes.length - done);
      if (count > 0) {
        this.#holeUpTo(extent.offset + this.#written);
        this.#stream.write(bytes.subarray(done, done + count));
      }
      done += count;
      this.#written += count;
      this.#position += count;
      if (this.#written < extent.length) continue;
      this.#extent++;
      this.#written = 0;
    }
  }

  finish(): StoredFile {
    this.#holeUpTo(this.#size);
    return this.#stream.finish();
  }

  discard(): void {
    this.#stream.discard();
  }

  #holeUpTo(position: number): void {
    if (position > this.#position) this.#stream.hole(position - this.#position);
    this.#position = position;
  }
}
