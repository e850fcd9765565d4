import { constants, zstdCompressSync } from "node:zlib";
import { GrowingBuffer } from "./growing-buffer.ts";
import { HEADERS_MAGIC, MAX_FRAME, Op } from "./headers-layout.ts";

const LEVEL = 3;

/** What stands before the frames: the magic line and the 32 bytes of the layer's diff ID. */
export function encodeHeadersStart(diffId: Uint8Array): Buffer {
  if (diffId.length !== 32) throw new RangeError("write headers: a diff ID has 32 bytes");
  return Buffer.concat([Buffer.from(HEADERS_MAGIC, "latin1"), diffId]);
}

/**
 * Builds the operations of one stretch of a layer (headers.md). Stretches are encoded apart, in any order, and their frames
 * are written in the order of the tar. Memory is that of the operations since the last `frame`, and is used again.
 */
export class HeadersEncoder {
  readonly #ops: GrowingBuffer = new GrowingBuffer(65_536);
  /** Literal bytes not yet among the operations: neighbours become one. */
  readonly #literal: GrowingBuffer = new GrowingBuffer(65_536);

  /** Bytes of the layer as they are; copied. */
  literal(bytes: Uint8Array): void {
    this.#literal.bytes(bytes);
  }

  /** The whole content of the next data entry. */
  data(): void {
    this.#op(Op.data, 0);
  }

  /** A range of the current data entry's content, which stays the current one. */
  extent(offset: number, length: number): void {
    if (length === 0) return;
    this.#op(Op.extent, length);
    this.#varint(offset);
  }

  /** The current data entry's extents are complete: the next one becomes current. */
  endData(): void {
    this.#op(Op.endData, 0);
  }

  /** The operations so far as compressed frames, empty if there are none. Then it begins anew. */
  frame(): Buffer {
    this.#flush();
    const ops = this.#ops.view();
    const frames: Buffer[] = [];
    for (let at = 0; at < ops.length; at += MAX_FRAME) frames.push(compress(ops.subarray(at, at + MAX_FRAME)));
    this.#ops.clear();
    return frames.length === 1 && frames[0] !== undefined ? frames[0] : Buffer.concat(frames);
  }

  #op(op: number, value: number): void {
    this.#flush();
    this.#varint(value * 4 + op);
  }

  #flush(): void {
    const literal = this.#literal.view();
    if (literal.length === 0) return;
    this.#varint(literal.length * 4 + Op.literal);
    this.#ops.bytes(literal);
    this.#literal.clear();
  }

  #varint(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`write headers: ${value} is out of range`);
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#ops.u8(0x80 | (rest % 0x80));
    this.#ops.u8(rest);
  }
}

function compress(ops: Buffer): Buffer {
  const { ZSTD_c_compressionLevel: level, ZSTD_c_checksumFlag: checksum } = constants;
  return zstdCompressSync(ops, { params: { [level]: LEVEL, [checksum]: 1 } });
}
