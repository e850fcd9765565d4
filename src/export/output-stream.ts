/** The caller's stream that an archive is written to. Each wait ends when the stream fails or is closed, or the signal aborts. */
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
    // a stream that is destroyed without an error emits only this, and never drains
    stream.on("close", this.#closed);
    signal.addEventListener("abort", this.#stopped, { once: true });
    if (stream.destroyed) this.#closed();
    if (signal.aborted) this.#stopped();
  }

  /** Waits while the stream's buffer is full. @throws the stream's error, DESTINATION_UNUSABLE if it was closed, the signal's reason */
  async write(piece: Uint8Array): Promise<void> {
    if (this.#stream.write(piece)) return;
    await Promise.race([once(this.#stream, "drain", { signal: this.#left.signal }), this.#broken.promise]);
  }

  /** Waits until the stream has accepted everything. @throws as `write` */
  async flush(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // on failure the callback runs before the stream emits its error
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
    const message = "the output stream was closed before the archive was complete; export again";
    this.#broken.reject(this.#stream.errored ?? new ShaleError("DESTINATION_UNUSABLE", message, { path: "-" }));
  };
}
