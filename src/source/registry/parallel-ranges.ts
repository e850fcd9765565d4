/**
 * Fetches one blob with several concurrent range requests, for networks that limit the rate of one connection. The ranges are delivered
 * in order; at most `count` of them are in memory.
 */
import type { ByteRange } from "../byte-range.ts";
import type { HttpResponse } from "../http/http-client.ts";
import { streamBlob, type BlobTransfer, type OpenOptions } from "./blob-stream.ts";

/** How large blobs are fetched with several concurrent requests. */
export interface ParallelRanges {
  /** Concurrent requests for one blob: 2 to 8. Each holds up to 8 MiB of memory. */
  readonly count: number;
  /** A blob, or the rest of one, with fewer bytes is fetched with one request. Default 64 MiB. */
  readonly minBytes?: number | undefined;
}

const RANGE_BYTES: number = 8 * 1024 * 1024;
const MIN_BYTES: number = 64 * 1024 * 1024;

/** Like `streamBlob`, with several concurrent requests if the requested range is large enough. */
export function streamRanges(transfer: BlobTransfer, ranges: ParallelRanges | undefined): AsyncGenerator<Uint8Array> {
  const { start, end } = transfer.wanted;
  return ranges === undefined || end - start < (ranges.minBytes ?? MIN_BYTES)
    ? streamBlob(transfer)
    : streamInParallel(transfer, ranges.count);
}

/** Starts the other requests after the first bytes: one request shows that a server ignores ranges; then the blob is one stream. */
async function* streamInParallel(transfer: BlobTransfer, count: number): AsyncGenerator<Uint8Array> {
  const { end } = transfer.wanted;
  const abort = new AbortController();
  const signal = transfer.signal ? AbortSignal.any([transfer.signal, abort.signal]) : abort.signal;
  const ranges: ReadAhead[] = [];
  let { start: position } = transfer.wanted;
  let next = position;
  const startUpTo = (count: number): void => {
    while (ranges.length < count && next < end) {
      const wanted = { start: next, end: Math.min(next + RANGE_BYTES, end) };
      const open: BlobTransfer["open"] = (range, options) => openRange(transfer, range, options);
      ranges.push(new ReadAhead(streamBlob({ ...transfer, signal, wanted, open })));
      next = wanted.end;
    }
  };
  try {
    for (startUpTo(1); ranges[0] !== undefined; startUpTo(1)) {
      for await (const chunk of ranges[0]) {
        startUpTo(count);
        position += chunk.length;
        yield chunk;
      }
      ranges.shift();
    }
    return;
  } catch (error) {
    if (!(error instanceof NoRangesError)) throw error;
  } finally {
    abort.abort(new Error("the reader stopped"));
  }
  yield* streamBlob({ ...transfer, wanted: { start: position, end } });
}

async function openRange(transfer: BlobTransfer, range: ByteRange | undefined, options: OpenOptions): Promise<HttpResponse> {
  const response = range && (await transfer.open(range, options));
  if (response?.status === 206) return response;
  response?.body.cancel();
  throw new NoRangesError();
}

/** The server ignored a Range. Does not leave this file. */
class NoRangesError extends Error {
  override readonly name = "NoRangesError";
}

/** Reads a whole stream into memory, ahead of its one reader. */
class ReadAhead {
  #chunks: Uint8Array[] = [];
  #ended = false;
  #failed: Promise<never> | undefined;
  #wake: (() => void) | undefined;

  constructor(stream: AsyncIterable<Uint8Array>) {
    void this.#fill(stream);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunks = this.#chunks;
      this.#chunks = [];
      yield* chunks;
      if (this.#chunks.length > 0) continue;
      if (this.#failed !== undefined) await this.#failed;
      if (this.#ended) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  async #fill(stream: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const chunk of stream) {
        this.#chunks.push(chunk);
        this.#wake?.();
      }
    } catch (error) {
      this.#failed = Promise.reject(error);
      // the reader gets it after the chunks before it
      this.#failed.catch(() => undefined);
    }
    this.#ended = true;
    this.#wake?.();
  }
}
