/**
 * One blob by several requests at a time, for networks that give a connection less than they have: pieces of it, fetched ahead
 * and delivered in order. What is fetched ahead is held in memory: `count` pieces at most.
 */
import { streamBlob, type BlobTransfer, type ByteRange, type OpenOptions } from "./blob-stream.ts";
import type { HttpResponse } from "../http/http-client.ts";
import type { ParallelRanges } from "./parallel-options.ts";

const PIECE_BYTES: number = 8 * 1024 * 1024;
const MIN_BYTES: number = 64 * 1024 * 1024;

/** As `streamBlob`; several requests at a time if what is wanted is large enough. */
export function streamRanges(transfer: BlobTransfer, ranges: ParallelRanges | undefined): AsyncGenerator<Uint8Array> {
  const { start, end } = transfer.wanted;
  return ranges === undefined || end - start < (ranges.minBytes ?? MIN_BYTES) ? streamBlob(transfer) : streamPieces(transfer, ranges.count);
}

/** The others begin when the first piece has: a server that does no ranges is found out by one request, and asked as ever. */
async function* streamPieces(transfer: BlobTransfer, count: number): AsyncGenerator<Uint8Array> {
  const { end } = transfer.wanted;
  const abort = new AbortController();
  const signal = transfer.signal ? AbortSignal.any([transfer.signal, abort.signal]) : abort.signal;
  const pieces: Piece[] = [];
  let { start: position } = transfer.wanted;
  let next = position;
  const begin = (most: number): void => {
    while (pieces.length < most && next < end) {
      const wanted = { start: next, end: Math.min(next + PIECE_BYTES, end) };
      pieces.push(new Piece(streamBlob({ ...transfer, signal, wanted, open: (range, options) => openPiece(transfer, range, options) })));
      next = wanted.end;
    }
  };
  try {
    for (begin(1); pieces[0] !== undefined; begin(1)) {
      for await (const chunk of pieces[0]) {
        begin(count);
        position += chunk.length;
        yield chunk;
      }
      pieces.shift();
    }
    return;
  } catch (error) {
    if (!(error instanceof NoRangesError)) throw error;
  } finally {
    abort.abort(new Error("the rest is not wanted any more"));
  }
  yield* streamBlob({ ...transfer, wanted: { start: position, end } });
}

async function openPiece(transfer: BlobTransfer, range: ByteRange | undefined, options: OpenOptions): Promise<HttpResponse> {
  const response = range && (await transfer.open(range, options));
  if (response?.status === 206) return response;
  response?.body.cancel();
  throw new NoRangesError();
}

/** Never leaves this file. */
class NoRangesError extends Error {
  override readonly name = "NoRangesError";
}

/** Reads a stream ahead of its one reader, all of it. */
class Piece {
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
      // it is for who reads up to here
      this.#failed.catch(() => undefined);
    }
    this.#ended = true;
    this.#wake?.();
  }
}
