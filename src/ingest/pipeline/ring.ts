/**
 * A ring of shared memory that passes a blob's bytes from the main thread to the worker that inflates it. One writer, one reader. A full ring
 * pauses the download. Positions are byte counts modulo 2^32, so the capacity is a power of two.
 */

export const RING_BYTES: number = 2 * 1024 * 1024;
/** Free bytes at which a waiting writer is woken. */
const WORTH_WAKING: number = RING_BYTES / 4;
const HEADER_BYTES = 64;
const WRITTEN = 0;
const READ = 1;
const STATE = 2;

const OPEN = 0;
const ENDED = 1;
const ABORTED = 2;

export function createRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + RING_BYTES);
}

export class RingWriter {
  readonly #control: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #changed: () => void;

  /** `changed` is called when the reader may have new input. */
  constructor(memory: SharedArrayBuffer, changed: () => void) {
    this.#control = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.#bytes = new Uint8Array(memory, HEADER_BYTES);
    this.#changed = changed;
  }

  /** Copies `chunk` to the ring, waiting for room; false if the reader has closed it. */
  async write(chunk: Uint8Array): Promise<boolean> {
    for (let done = 0; done < chunk.length;) {
      if (Atomics.load(this.#control, STATE) !== OPEN) return false;
      const read = Atomics.load(this.#control, READ);
      const written = Atomics.load(this.#control, WRITTEN);
      const room = RING_BYTES - ((written - read) | 0);
      if (room === 0) {
        const wait = Atomics.waitAsync(this.#control, READ, read, 1000);
        if (wait.async) await wait.value;
        continue;
      }
      const at = written & (RING_BYTES - 1);
      const count = Math.min(room, chunk.length - done, RING_BYTES - at);
      this.#bytes.set(chunk.subarray(done, done + count), at);
      Atomics.store(this.#control, WRITTEN, (written + count) | 0);
      done += count;
      this.#changed();
    }
    return Atomics.load(this.#control, STATE) === OPEN;
  }

  /** Marks the end of the blob. */
  end(): void {
    Atomics.compareExchange(this.#control, STATE, OPEN, ENDED);
    this.#changed();
  }

  /** Also ends a `write` that waits for room. */
  abort(): void {
    Atomics.store(this.#control, STATE, ABORTED);
    Atomics.notify(this.#control, READ);
    this.#changed();
  }
}

export class RingReader {
  readonly #control: Int32Array;
  readonly #bytes: Buffer;

  constructor(memory: SharedArrayBuffer) {
    this.#control = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.#bytes = Buffer.from(memory, HEADER_BYTES);
  }

  get aborted(): boolean {
    return Atomics.load(this.#control, STATE) === ABORTED;
  }

  /** True if no more bytes will follow those of `peek`. */
  get ended(): boolean {
    return Atomics.load(this.#control, STATE) === ENDED;
  }

  /** Returns up to `limit` bytes in place, valid until `consume`; empty if there are none now. */
  peek(limit: number): Buffer {
    const at = Atomics.load(this.#control, READ) & (RING_BYTES - 1);
    return this.#bytes.subarray(at, at + Math.min(limit, this.#available, RING_BYTES - at));
  }

  /** A writer waits only on a full ring, and is woken once there is substantial room, not at every step. */
  consume(count: number): void {
    const read = (Atomics.load(this.#control, READ) + count) | 0;
    Atomics.store(this.#control, READ, read);
    const room = RING_BYTES - ((Atomics.load(this.#control, WRITTEN) - read) | 0);
    if (room >= WORTH_WAKING && room - count < WORTH_WAKING) Atomics.notify(this.#control, READ);
  }

  /** Stops the writer. */
  abort(): void {
    Atomics.store(this.#control, STATE, ABORTED);
    Atomics.notify(this.#control, READ);
  }

  get #available(): number {
    return (Atomics.load(this.#control, WRITTEN) - Atomics.load(this.#control, READ)) | 0;
  }
}
