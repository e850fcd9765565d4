import { constants, zstdCompressSync } from "node:zlib";
import { GrowingBuffer } from "./growing-buffer.ts";
import { HEADERS_MAGIC, MAX_FRAME, Op } from "./headers-layout.ts";

const LEVEL = 3;

/** The bytes before the frames: the magic line and the 32 bytes of the layer's diff ID. */
export function encodeHeadersStart(diffId: Uint8Array): Buffer {
  if (diffId.length !== 32) throw new RangeError("write headers: a diff ID has 32 bytes");
  return Buffer.concat([Buffer.from(HEADERS_MAGIC, "latin1"), diffId]);
}

/**
 * Encodes the operations of one section of a layer (headers.md, section 2). Sections can be encoded separately and in any order; their
 * frames are written in the order of the tar. It holds the operations since the last `frame`.
 */
export class HeadersEncoder {
  readonly #ops: GrowingBuffer = new GrowingBuffer(65_536);
  /** Literal bytes that are not encoded yet. Adjacent literals become one operation. */
  readonly #literal: GrowingBuffer = new GrowingBuffer(65_536);

  /** Adds bytes of the layer. They are copied. */
  literal(bytes: Uint8Array): void {
    this.#literal.bytes(bytes);
  }

  /** Adds the whole content of the next data entry. */
  data(): void {
    this.#op(Op.data, 0);
  }

  /** Adds a range of the current data entry's content. The entry stays current. */
  extent(offset: number, length: number): void {
    if (length === 0) return;
    this.#op(Op.extent, length);
    this.#varint(offset);
  }

  /** Ends the current data entry after its extents. The next entry becomes current. */
  endData(): void {
    this.#op(Op.endData, 0);
  }

  /** Returns the operations so far as compressed frames, empty if there are none, and starts again without operations. */
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
