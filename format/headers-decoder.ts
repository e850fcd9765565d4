import { HEADERS_MAGIC, HeadersError, Op } from "./headers-layout.ts";
import type { HeadersOp } from "./headers-layout.ts";
import { FrameReader } from "./zstd-frames.ts";

const START = HEADERS_MAGIC.length + 32;

/**
 * Decodes a headers file (headers.md), which may arrive in pieces of any size, and checks that it belongs to the layer. It holds one
 * frame at a time. Literals are views, valid until the next step. @throws HeadersError
 */
export async function* decodeHeaders(
  file: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  diffId: Uint8Array,
): AsyncGenerator<HeadersOp, void, undefined> {
  const frames = new FrameReader(START);
  const ops = new OpDecoder();
  let start = Buffer.alloc(0);
  for await (const piece of file) {
    let rest = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    if (start.length < START) {
      const taken = START - start.length;
      start = Buffer.concat([start, rest.subarray(0, taken)]);
      rest = rest.subarray(taken);
      if (start.length === START) checkStart(start, diffId);
    }
    for (const frame of frames.push(rest)) yield* ops.push(frame);
  }
  if (start.length < START) throw new HeadersError("read headers: the file ends within its start", start.length, "file");
  frames.end();
  ops.end();
}

/** Decodes operations from bytes that may arrive in pieces of any size. */
export class OpDecoder {
  /** Number of bytes read so far. */
  #position = 0;
  /** The varint that is being read, and the weight of its next seven bits. */
  #value = 0;
  #weight = 1;
  /** Number of literal bytes that must follow. */
  #literal = 0;
  /** Length of the extent whose offset must follow. */
  #extent = 0;

  /** Yields the operations that these bytes complete. Literals are views of `bytes`. */
  *push(bytes: Buffer): Generator<HeadersOp, void, undefined> {
    for (let at = 0; at < bytes.length;) {
      if (this.#literal > 0) {
        const literal = bytes.subarray(at, at + this.#literal);
        this.#literal -= literal.length;
        this.#position += literal.length;
        at += literal.length;
        yield { kind: "literal", bytes: literal };
      } else {
        const value = this.#varint(bytes[at++] as number);
        const op = value === undefined ? undefined : this.#op(value);
        if (op !== undefined) yield op;
      }
    }
  }

  /** Call it after the last bytes. @throws HeadersError if they end within an operation */
  end(): void {
    if (this.#literal > 0 || this.#extent > 0 || this.#weight > 1) throw this.#error("the operations end within one");
  }

  /** Reads one byte. Returns the value after the last byte of a varint, otherwise undefined. */
  #varint(byte: number): number | undefined {
    this.#position++;
    this.#value += (byte & 0x7f) * this.#weight;
    if (this.#value > Number.MAX_SAFE_INTEGER) throw this.#error("a number is too large");
    if (byte === 0 && this.#weight > 1) throw this.#error("a number is longer than it need be");
    if (byte < 0x80) {
      const value = this.#value;
      this.#value = 0;
      this.#weight = 1;
      return value;
    }
    this.#weight *= 0x80;
    if (this.#weight > 2 ** 49) throw this.#error("a number is too long");
    return undefined;
  }

  #op(value: number): HeadersOp | undefined {
    if (this.#extent > 0) {
      const length = this.#extent;
      this.#extent = 0;
      return { kind: "extent", offset: value, length };
    }
    const argument = Math.floor(value / 4);
    const op = value % 4;
    if ((op === Op.literal || op === Op.extent) !== argument > 0) throw this.#error("an operation that there is not");
    if (op === Op.literal) this.#literal = argument;
    else if (op === Op.extent) this.#extent = argument;
    else return { kind: op === Op.data ? "data" : "end-data" };
    return undefined;
  }

  #error(what: string): HeadersError {
    return new HeadersError(`read headers: ${what}`, this.#position, "operations");
  }
}

function checkStart(start: Buffer, diffId: Uint8Array): void {
  if (start.toString("latin1", 0, HEADERS_MAGIC.length) !== HEADERS_MAGIC)
    throw new HeadersError("read headers: not a headers file of version 1", 0, "file");
  if (!start.subarray(HEADERS_MAGIC.length).equals(diffId))
    throw new HeadersError("read headers: the file belongs to another layer", HEADERS_MAGIC.length, "file");
}
