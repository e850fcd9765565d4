import { zstdDecompressSync } from "node:zlib";
import { GrowingBuffer } from "./growing-buffer.ts";
import { HeadersError, MAX_FRAME } from "./headers-layout.ts";

/** More bytes than MAX_FRAME bytes that cannot be compressed take. */
const MAX_COMPRESSED = MAX_FRAME + 65_536;
const CHECKSUM = 4;

/**
 * Decompresses concatenated Zstandard frames (RFC 8878), one at a time. It splits the frames itself, because Node's decoder stops after
 * the first frame of a write and does not report a truncated frame.
 */
export class FrameReader {
  readonly #frame: GrowingBuffer = new GrowingBuffer(65_536);
  /** Position of the frame in the file. */
  #start: number;
  /** Number of bytes of the frame that the next step needs. In the step `end` they are the whole frame. */
  #needed = 5;
  #step: "descriptor" | "header" | "block" | "end" = "descriptor";

  /** `start` is the file offset of the first frame. */
  constructor(start: number) {
    this.#start = start;
  }

  /** Yields the decompressed frames that these bytes complete. */
  *push(bytes: Buffer): Generator<Buffer, void, undefined> {
    for (let at = 0; at < bytes.length;) {
      const piece = bytes.subarray(at, at + this.#needed - this.#frame.length);
      this.#frame.bytes(piece);
      at += piece.length;
      while (this.#frame.length === this.#needed) {
        if (this.#step === "end") yield this.#finish();
        else this.#needed += this.#advance(this.#frame.view());
        if (this.#needed > MAX_COMPRESSED) throw this.#error("a frame is too long");
      }
    }
  }

  /** Call it after the last bytes. @throws HeadersError if they end within a frame */
  end(): void {
    if (this.#frame.length > 0) throw this.#error("the file ends within a frame");
  }

  /** Reads the step that is complete. Returns how many bytes must follow. */
  #advance(frame: Buffer): number {
    if (this.#step === "descriptor") {
      this.#step = "header";
      return this.#headerLength(frame.readUInt32LE(0), frame[4] ?? 0);
    }
    if (this.#step === "header") {
      this.#step = "block";
      return 3;
    }
    const block = frame.readUIntLE(frame.length - 3, 3);
    const type = (block >> 1) & 3;
    if (type === 3) throw this.#error("a block of no known type");
    const content = type === 1 ? 1 : block >> 3;
    if (block & 1) this.#step = "end";
    return content + (block & 1 ? CHECKSUM : 3);
  }

  /** Number of bytes of the frame header after the descriptor. */
  #headerLength(magic: number, descriptor: number): number {
    if (magic !== 0xfd2fb528) throw this.#error("not a Zstandard frame");
    const single = (descriptor & 0x20) !== 0;
    if ((descriptor & 0b1111) !== 0b0100) throw this.#error("a frame without checksum or with a dictionary");
    const contentSize = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
    if (contentSize === 0) throw this.#error("a frame that does not say its size");
    return contentSize + (single ? 0 : 1);
  }

  #finish(): Buffer {
    const frame = this.#frame.view();
    let content: Buffer;
    try {
      content = zstdDecompressSync(frame, { maxOutputLength: MAX_FRAME });
    } catch (error) {
      throw this.#error("a frame does not decompress", error);
    }
    this.#start += frame.length;
    this.#frame.clear();
    this.#needed = 5;
    this.#step = "descriptor";
    return content;
  }

  #error(what: string, cause?: unknown): HeadersError {
    return new HeadersError(`read headers: ${what}`, this.#start, "file", { cause });
  }
}
