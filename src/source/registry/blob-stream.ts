/** Streams a blob over connections that may break: resumed with Range requests, checked against the descriptor's size. */
import { ShaleError } from "../../errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { ByteRange } from "../byte-range.ts";
import type { HttpResponse } from "../http/http-client.ts";
import { TransientError, waitToRetry, type RetryContext } from "../http/retry.ts";

export interface BlobTransfer extends RetryContext {
  readonly descriptor: Descriptor;
  readonly wanted: ByteRange;
  /** Requests the blob, with a Range if one is given. Returns a 200, 206 or 416; throws for all else. */
  readonly open: (range: ByteRange | undefined, options: OpenOptions) => Promise<HttpResponse>;
  /** The host that serves the blob now, for events. */
  readonly host: () => string;
}

export interface OpenOptions {
  readonly signal: AbortSignal | undefined;
  /** False for the first request of a transfer. */
  readonly again: boolean;
}

/** Progress that resets the retry count. Without a minimum, a server that sends one byte per connection could be retried for ever. */
const MIN_PROGRESS: number = 16 * 1024;

/** @throws SIZE_MISMATCH if the server has fewer or more bytes than the descriptor says; what `open` throws */
export async function* streamBlob(transfer: BlobTransfer): AsyncGenerator<Uint8Array> {
  const { wanted, policy, signal } = transfer;
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
      if (!(error instanceof TransientError)) throw error;
      if (cursor.position >= wanted.end) return;
      failures = cursor.position - mark >= MIN_PROGRESS ? 1 : failures + 1;
      if (failures === 1) mark = cursor.position;
      if (!(await waitToRetry(error, { ...transfer, host: transfer.host(), tries: policy.tries, failures }))) throw error.error;
    }
  }
}

/** The position in the blob, and the range that the current response serves. */
class Cursor {
  position: number;
  readonly #descriptor: Descriptor;
  readonly #end: number;
  /** False after the server ignored a Range: then the whole blob is requested, and bytes before the position are skipped. */
  #ranged = true;
  #served: ByteRange = { start: 0, end: 0 };

  constructor(descriptor: Descriptor, wanted: ByteRange) {
    this.#descriptor = descriptor;
    this.position = wanted.start;
    this.#end = wanted.end;
  }

  /** Undefined for the whole blob: some servers refuse `bytes=0-`. */
  range(): ByteRange | undefined {
    const whole = this.position === 0 && this.#end === this.#descriptor.size;
    return this.#ranged && !whole ? { start: this.position, end: this.#end } : undefined;
  }

  /** False if the response cannot be used and the blob must be requested without a Range. */
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
    const message = `"${response.url.host}" sent ${actual} bytes for blob ${digest}, but its manifest says ${size}; the image in the registry is damaged, push it again`;
    return new ShaleError("SIZE_MISMATCH", message, { what: "blob", digest, expected: size, actual });
  }

  #unusable(response: HttpResponse): ShaleError<"REGISTRY_ERROR"> {
    response.body.cancel();
    const { status, url } = response;
    const message = `"${url.host}" answered ${status} for blob ${this.#descriptor.digest} to a request without a range; report it to the registry`;
    return new ShaleError("REGISTRY_ERROR", message, { host: url.host, status });
  }
}

/** `bytes 10-19/100` is the range 10 to 20 of 100 bytes; `*` is an unknown total. */
function parseContentRange(header: string | undefined): (ByteRange & { readonly total: number | undefined }) | undefined {
  const match = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/([0-9]{1,15}|\*)$/.exec(header ?? "");
  if (match === null) return undefined;
  return { start: Number(match[1]), end: Number(match[2]) + 1, total: match[3] === "*" ? undefined : Number(match[3]) };
}
