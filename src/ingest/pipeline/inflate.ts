/**
 * Decompresses a layer blob. Its first bytes, not its media type, determine the format: gzip (all members), zstd (all frames), or plain tar.
 * Writes directly to the caller's memory.
 *
 * node:zlib's documented API allocates a buffer for every piece of output and takes two to three times the CPU. `writeSync` of its handle is
 * undocumented, so it is used only if it behaves as expected; the documented stream is the fallback.
 */
import { constants, createGunzip, createZstdDecompress, type Gunzip } from "node:zlib";
import { ShaleError } from "../../errors.ts";
import type { Compression } from "../../image/compression.ts";

interface Inflated {
  /** Bytes of input consumed. */
  readonly consumed: number;
  /** Bytes of output written. */
  readonly produced: number;
}

export interface Inflater {
  /**
   * Decompresses from `input` into `output` until one of them is exhausted. `last`: no input follows; then {0, 0} with room left means that
   * all output was delivered and the stream was complete.
   * @throws LAYER_CORRUPT
   */
  step(input: Uint8Array, output: Uint8Array, last: boolean): Inflated | Promise<Inflated>;
  /** Frees memory outside the JS heap; idempotent. */
  close(): void;
}

/** Window sizes up to 128 MiB, as the zstd command line accepts by default. */
const ZSTD_WINDOW_LOG_MAX = 27;

export function createInflater(compression: Compression, options: { documentedOnly?: boolean } = {}): Inflater {
  if (compression === "none") return { step: copy, close: () => {} };
  const stream = open(compression);
  const handle = options.documentedOnly === true ? undefined : handleOf(stream);
  if (handle) return new HandleInflater(stream, handle);
  stream.destroy();
  return new StreamInflater(compression);
}

function open(compression: "gzip" | "zstd"): Gunzip {
  if (compression === "gzip") return createGunzip();
  return createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } });
}

function copy(input: Uint8Array, output: Uint8Array): Inflated {
  const count = Math.min(input.length, output.length);
  output.set(input.subarray(0, count));
  return { consumed: count, produced: count };
}

interface ZlibHandle {
  onerror: (message: string, errno: number, code: string) => void;
  writeSync(
    flush: number,
    input: Uint8Array,
    inOffset: number,
    inLength: number,
    output: Uint8Array,
    outOffset: number,
    outLength: number,
  ): void;
}

interface ZlibInternals {
  readonly _handle?: ZlibHandle;
  /** After a write: room left in the output, input left over. */
  readonly _writeState?: Uint32Array;
}

function handleOf(stream: Gunzip): Required<ZlibInternals> | undefined {
  const { _handle: handle, _writeState: state } = stream as unknown as ZlibInternals;
  return typeof handle?.writeSync === "function" && state instanceof Uint32Array ? { _handle: handle, _writeState: state } : undefined;
}

const EMPTY: Uint8Array = new Uint8Array(0);

class HandleInflater implements Inflater {
  readonly #stream: Gunzip;
  readonly #handle: ZlibHandle;
  readonly #state: Uint32Array;
  #failure: string | undefined;
  #sawInput = false;
  /** Padding has begun: no member follows it, wherever the input is cut. */
  #padded = false;

  constructor(stream: Gunzip, { _handle, _writeState }: Required<ZlibInternals>) {
    this.#stream = stream;
    this.#handle = _handle;
    this.#state = _writeState;
    _handle.onerror = (message, _errno, code) => (this.#failure = `${code}: ${message}`);
  }

  step(input: Uint8Array, output: Uint8Array, last: boolean): Inflated {
    this.#sawInput ||= input.length > 0;
    if (!this.#sawInput && last) throw corrupt("it is empty");
    if (this.#padded) return { consumed: padding(input), produced: 0 };
    const flush = last ? this.#finish : this.#proceed;
    this.#handle.writeSync(flush, input.length > 0 ? input : EMPTY, 0, input.length, output, 0, output.length);
    if (this.#failure !== undefined) throw corrupt(this.#failure);
    const consumed = input.length - this.#state[1]!;
    const produced = output.length - this.#state[0]!;
    if (consumed > 0 || produced > 0 || output.length === 0) return { consumed, produced };
    this.#padded = input.length > 0;
    return { consumed: padding(input), produced };
  }

  get #finish(): number {
    return (this.#stream as unknown as { _finishFlushFlag: number })._finishFlushFlag;
  }

  get #proceed(): number {
    return (this.#stream as unknown as { _defaultFlushFlag: number })._defaultFlushFlag;
  }

  close(): void {
    this.#stream.close();
  }
}

/**
 * The documented API: the stream's output is queued and copied, so the output of one step is held in memory. A stream may stop inside its
 * input (after a zstd frame, or at padding); `bytesWritten` shows where.
 */
class StreamInflater implements Inflater {
  readonly #compression: "gzip" | "zstd";
  readonly #queue: Buffer[] = [];
  #stream: Gunzip;
  #failure: Error | undefined;
  #ending = false;
  #over = false;
  #wake: () => void = () => {};

  constructor(compression: "gzip" | "zstd") {
    this.#compression = compression;
    this.#stream = this.#open();
  }

  #open(): Gunzip {
    const stream = open(this.#compression);
    stream.on("data", (chunk: Buffer) => this.#queue.push(chunk));
    stream.on("end", () => this.#settle());
    stream.on("error", (error) => this.#settle(error));
    return stream;
  }

  async step(input: Uint8Array, output: Uint8Array, last: boolean): Promise<Inflated> {
    if (this.#queue.length > 0) return { consumed: 0, produced: this.#drain(output) };
    if (this.#over && this.#compression === "gzip") return { consumed: padding(input), produced: 0 };
    if (this.#over && input.length > 0) this.#nextFrame();
    const before = this.#stream.bytesWritten;
    if (input.length > 0) await this.#until((done) => this.#stream.write(Buffer.from(input), done));
    else if (last && !this.#ending) {
      this.#ending = true;
      await this.#until(() => this.#stream.end());
    }
    return { consumed: this.#stream.bytesWritten - before, produced: this.#drain(output) };
  }

  /** A zstd stream ends with its first frame. */
  #nextFrame(): void {
    this.#stream.destroy();
    this.#stream = this.#open();
    this.#over = this.#ending = false;
  }

  #settle(error?: Error): void {
    this.#over = true;
    this.#failure ??= error;
    this.#wake();
  }

  async #until(start: (done: () => void) => unknown): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      start(resolve);
    });
    if (this.#failure) throw corrupt(this.#failure.message);
  }

  #drain(output: Uint8Array): number {
    let produced = 0;
    for (let chunk = this.#queue[0]; chunk && produced < output.length; chunk = this.#queue[0]) {
      const count = Math.min(chunk.length, output.length - produced);
      output.set(chunk.subarray(0, count), produced);
      produced += count;
      if (count === chunk.length) this.#queue.shift();
      else this.#queue[0] = chunk.subarray(count);
    }
    return produced;
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** NUL bytes after the last gzip member are padding, as in gzip(1); other bytes are an error. */
function padding(input: Uint8Array): number {
  if (input.some((byte) => byte !== 0)) throw corrupt("bytes that are no gzip member follow the last one");
  return input.length;
}

function corrupt(why: string): ShaleError<"LAYER_CORRUPT"> {
  return new ShaleError("LAYER_CORRUPT", `cannot decompress the layer (${why}); pull it again, or report it to the image's author`, {});
}
