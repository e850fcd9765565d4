/**
 * The body of a response: the chunks of undici's parser, without a copy or a stream. It pauses the connection while the reader is
 * behind, and fails if the server stalls: too few bytes for too long while the reader waits.
 */
import type { Dispatcher } from "undici";

const HIGH_WATER = 512 * 1024;
const LOW_WATER = 128 * 1024;
const MAX_DISCARDED = 64 * 1024;
/** Fewer bytes than this within the stall timeout are a stall: a hostile server may send single bytes. */
const MIN_PROGRESS = 16 * 1024;

export class ResponseBody implements AsyncIterable<Buffer> {
  readonly #controller: Dispatcher.DispatchController;
  readonly #stallTimeout: number;
  #chunks: Buffer[] = [];
  #held = 0;
  #ended = false;
  #cancelled = false;
  #error: unknown;
  #wake: (() => void) | undefined;

  constructor(controller: Dispatcher.DispatchController, stallTimeout: number) {
    this.#controller = controller;
    this.#stallTimeout = stallTimeout;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    if (this.#held >= HIGH_WATER) this.#controller.pause();
    this.#wake?.();
  }

  /** Marks the end of the body, with an error if the transfer broke. Bytes received before are still delivered. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  /** Ends the transfer and its connection; a reader fails with the reason at once, without the bytes received before. */
  cancel(reason: unknown = new Error("the response was cancelled")): void {
    this.#cancelled = true;
    this.#error = reason;
    if (this.#ended) return;
    this.#ended = true;
    this.#controller.abort(new Error("cancelled"));
    this.#wake?.();
  }

  /** Drops the body. A short one is read in the background, so that the connection can be reused. */
  discard(): void {
    this.readAll(MAX_DISCARDED).catch((error: unknown) => this.cancel(error));
  }

  /** For one reader. Leaving the loop early ends the transfer. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    const stall = new StallClock(this.#stallTimeout);
    try {
      for (;;) {
        const chunks = this.#chunks;
        this.#chunks = [];
        for (const chunk of chunks) {
          if (this.#cancelled) throw this.#error;
          this.#held -= chunk.length;
          stall.progress(chunk.length);
          if (this.#held < LOW_WATER && this.#controller.paused) this.#controller.resume();
          yield chunk;
        }
        if (this.#chunks.length > 0) continue;
        if (this.#ended && this.#error === undefined) return;
        if (this.#ended) throw this.#error;
        await this.#nextEvent(stall);
      }
    } finally {
      if (!this.#ended) this.cancel();
    }
  }

  /** The whole body; undefined if it is longer than `limit` bytes. */
  async readAll(limit: number): Promise<Buffer | undefined> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of this) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > limit) return undefined;
    }
    return Buffer.concat(chunks, size);
  }

  async #nextEvent(stall: StallClock): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(() => this.#controller.abort(new StallError()), stall.left());
    const since = performance.now();
    await promise;
    clearTimeout(timer);
    this.#wake = undefined;
    stall.waited(performance.now() - since);
  }
}

/** Has the code of undici's own timeout, so that both are handled alike. */
class StallError extends Error {
  readonly code = "UND_ERR_BODY_TIMEOUT";

  constructor() {
    super("the server sent almost nothing for too long");
  }
}

/** Measures only the time that the reader waits, so that a slow reader is not taken for a stalled server. */
class StallClock {
  readonly #timeout: number;
  #waited = 0;
  #bytes = 0;

  constructor(timeout: number) {
    this.#timeout = timeout;
  }

  progress(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < MIN_PROGRESS) return;
    this.#bytes = 0;
    this.#waited = 0;
  }

  waited(ms: number): void {
    this.#waited += ms;
  }

  left(): number {
    return Math.max(0, this.#timeout - this.#waited);
  }
}
