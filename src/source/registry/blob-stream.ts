/** The bytes of a blob, whatever the connection does: resumed by Range where it broke, checked against the descriptor's size. */
import { ShaleError } from "../../errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { HttpResponse } from "../http/http-client.ts";
import { Transient, waitOrGiveUp, type RetryContext } from "../http/retry.ts";
import type { BlobOptions } from "../source.ts";

/** Bytes `start` to `end` (exclusive). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface BlobTransfer extends RetryContext {
  readonly descriptor: Descriptor;
  readonly wanted: ByteRange;
  /** Asks for the blob, with a Range if one is given: 200, 206 or 416, anything else throws. */
  readonly open: (range: ByteRange | undefined, options: OpenOptions) => Promise<HttpResponse>;
}

export interface OpenOptions {
  readonly signal: AbortSignal | undefined;
  /** Not the first time of this transfer. */
  readonly again: boolean;
}

/** What a connection must have brought for its breaking not to count: with a byte each, a server could have us ask for ever. */
const MIN_PROGRESS: number = 16 * 1024;

/** @throws SIZE_MISMATCH when the server has fewer or more bytes than the descriptor says; what `open` throws */
export async function* streamBlob(transfer: BlobTransfer): AsyncGenerator<Uint8Array> {
  const { wanted, signal } = transfer;
  const cursor = new Cursor(transfer.descriptor, wanted);
  let failures = 0;
  let again = false;
  let mark = cursor.position;
  while (cursor.position < wanted.end) {
    signal?.throwIfAborted();
    const response = await transfer.open(cursor.range(), { signal, again });
    again = true;
    try {
      if (cursor.accept(response)) yield* cursor.take(response);
      else response.body.cancel();
    } catch (error) {
      if (!(error instanceof Transient)) throw error;
      if (cursor.position >= wanted.end) return;
      failures = cursor.position - mark >= MIN_PROGRESS ? 1 : failures + 1;
      if (failures === 1) mark = cursor.position;
      await waitOrGiveUp(transfer, error, failures);
    }
  }
}

/** Where we are in the blob, and what the response at hand can give from there. */
class Cursor {
  position: number;
  readonly #descriptor: Descriptor;
  readonly #end: number;
  /** False once the server has shown that it cannot do ranges: then from the start, with what we have passed over. */
  #ranged = true;
  #served: ByteRange = { start: 0, end: 0 };

  constructor(descriptor: Descriptor, wanted: ByteRange) {
    this.#descriptor = descriptor;
    this.position = wanted.start;
    this.#end = wanted.end;
  }

  /** No Range for a whole blob: some servers refuse `bytes=0-`. */
  range(): ByteRange | undefined {
    const whole = this.position === 0 && this.#end === this.#descriptor.size;
    return this.#ranged && !whole ? { start: this.position, end: this.#end } : undefined;
  }

  /** False when the answer is no use and the blob must be asked for without a Range. */
  accept(response: HttpResponse): boolean {
    const { size } = this.#descriptor;
    const asked = this.range();
    if (response.status === 200) {
      const length = response.header("content-length");
      if (length !== undefined && Number(length) !== size) throw this.#mismatch(response, Number(length));
      this.#served = { start: 0, end: size };
      return true;
    }
    const served = response.status === 206 ? parseContentRange(response.header("content-range")) : undefined;
    if (served?.total !== undefined && served.total !== size) throw this.#mismatch(response, served.total);
    if (asked === undefined) throw this.#unusable(response);
    if (served?.start !== this.position || served.end <= served.start || served.end > this.#end) {
      this.#ranged = false;
      return false;
    }
    this.#served = served;
    return true;
  }

  async *take(response: HttpResponse): AsyncGenerator<Uint8Array> {
    let at = this.#served.start;
    for await (const chunk of response.body) {
      const start = at;
      at += chunk.length;
      if (at > this.#served.end) throw this.#mismatch(response, at);
      const from = Math.max(this.position - start, 0);
      const to = Math.min(this.#end - start, chunk.length);
      if (from >= to) continue;
      this.position = start + to;
      yield to - from === chunk.length ? chunk : chunk.subarray(from, to);
      if (this.position === this.#end && this.#end < this.#served.end) return;
    }
    if (at < this.#served.end) throw this.#mismatch(response, at);
  }

  #mismatch(response: HttpResponse, actual: number): ShaleError<"SIZE_MISMATCH"> {
    response.body.cancel();
    const { digest, size } = this.#descriptor;
    const message = `"${response.url.host}" sent ${actual} bytes for ${digest}, whose manifest says ${size}; the image in the registry is damaged`;
    return new ShaleError("SIZE_MISMATCH", message, { what: "blob", digest, expected: size, actual });
  }

  #unusable(response: HttpResponse): ShaleError<"REGISTRY_ERROR"> {
    response.body.cancel();
    const { status, url } = response;
    const message = `"${url.host}" answered ${status} for ${this.#descriptor.digest}, though no range was asked for`;
    return new ShaleError("REGISTRY_ERROR", message, { host: url.host, status });
  }
}

/** @throws RangeError when the caller asks for what the blob cannot have */
export function wantedRange({ size }: Descriptor, { offset = 0, length }: BlobOptions): ByteRange {
  const end = length === undefined ? size : offset + length;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(end) || offset < 0 || end < offset || end > size) {
    throw new RangeError(`bytes ${offset} to ${end} are not within a blob of ${size} bytes`);
  }
  return { start: offset, end };
}

/** `bytes 10-19/100` is 10 to 20 of 100; `*` leaves the total open. */
function parseContentRange(header: string | undefined): (ByteRange & { readonly total: number | undefined }) | undefined {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(header ?? "");
  if (match === null) return undefined;
  return { start: Number(match[1]), end: Number(match[2]) + 1, total: match[3] === "*" ? undefined : Number(match[3]) };
}
