/** A stream of the caller's that an archive is written to: each wait ends when the stream fails, is closed, or the signal says so. */
import { once } from "node:events";
import type { Writable } from "node:stream";
import { ShaleError } from "../errors.ts";

export class OutputStream implements Disposable {
  readonly #stream: Writable;
  readonly #signal: AbortSignal;
  readonly #broken: PromiseWithResolvers<never> = Promise.withResolvers();
  readonly #left = new AbortController();

  constructor(stream: Writable, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
    this.#broken.promise.catch(() => {});
    stream.on("error", this.#fail);
    // one that is destroyed without an error says nothing else, and calls for no more bytes
    stream.on("close", this.#closed);
    signal.addEventListener("abort", this.#stopped, { once: true });
    if (stream.destroyed) this.#closed();
    if (signal.aborted) this.#stopped();
  }

  /** Waits while the stream has enough. @throws what the stream failed with, DESTINATION_UNUSABLE when it was closed, the signal's reason */
  async write(piece: Uint8Array): Promise<void> {
    if (this.#stream.write(piece)) return;
    await Promise.race([once(this.#stream, "drain", { signal: this.#left.signal }), this.#broken.promise]);
  }

  /** Until the stream has taken all of it. @throws as `write` */
  async flush(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // with an error it is called before the stream tells of it
    this.#stream.write("", (error) => (error ? setImmediate(this.#closed) : resolve()));
    await Promise.race([promise, this.#broken.promise]);
  }

  [Symbol.dispose](): void {
    this.#left.abort();
    this.#stream.off("error", this.#fail);
    this.#stream.off("close", this.#closed);
    this.#signal.removeEventListener("abort", this.#stopped);
  }

  readonly #fail = (error: Error): void => this.#broken.reject(error);
  readonly #stopped = (): void => this.#broken.reject(this.#signal.reason);
  readonly #closed = (): void => {
    const message = "the output stream was closed before all was written to it; export again";
    this.#broken.reject(this.#stream.errored ?? new ShaleError("DESTINATION_UNUSABLE", message, { path: "-" }));
  };
}
