/** Decompresses a stream whose compression its first bytes tell. */
import { once } from "node:events";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { SNIFF_BYTES, sniffCompression } from "../../image/compression.ts";

const OUTPUT = { chunkSize: 256 * 1024 } as const;

/** Yields all members of a gzip stream, all frames of a zstd stream, and any other stream as it is. Fails with an error of node:zlib. */
export async function* decompress(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  using chunks = new ChunkReader(input);
  const head = await chunks.peek(SNIFF_BYTES);
  switch (sniffCompression(head)) {
    case "gzip":
      return yield* gunzip(chunks);
    case "zstd":
      return yield* zstdFrames(chunks);
    case "none":
      return yield* chunks.all();
  }
}

async function* gunzip(chunks: ChunkReader): AsyncGenerator<Uint8Array, void, undefined> {
  const source = Readable.from(chunks.all(), { objectMode: false });
  const stream = createGunzip(OUTPUT);
  source.once("error", (error) => stream.destroy(error));
  try {
    yield* source.pipe(stream) as AsyncIterable<Buffer>;
  } finally {
    source.destroy();
  }
}

/** A zstd stream of node:zlib ends with its first frame, even a skippable one: the bytes after it go to a new stream. */
async function* zstdFrames(chunks: ChunkReader): AsyncGenerator<Uint8Array, void, undefined> {
  while ((await chunks.peek(1)).length > 0) {
    const stream = createZstdDecompress(OUTPUT);
    const feeding = feed(stream, chunks);
    // a failure of the input ends the loop below through destroy()
    feeding.catch((error: unknown) => stream.destroy(error as Error));
    yield* stream as AsyncIterable<Buffer>;
    await feeding;
  }
}

/** Writes chunks until the stream ends, and gives back the bytes that it did not use. */
async function feed(stream: ReturnType<typeof createZstdDecompress>, chunks: ChunkReader): Promise<void> {
  const closed = once(stream, "close");
  for (let chunk = await chunks.next(); chunk !== undefined; chunk = await chunks.next()) {
    const before = stream.bytesWritten;
    const written = new Promise((resolve) => void stream.write(chunk, resolve));
    await Promise.race([written, closed]);
    const used = stream.bytesWritten - before;
    if (used === chunk.length && !stream.destroyed) continue;
    chunks.unshift(chunk.subarray(used));
    return;
  }
  stream.end();
}

/** Reads a stream chunk by chunk; chunks can be given back. */
class ChunkReader implements Disposable {
  readonly #input: AsyncIterator<Uint8Array>;
  readonly #pending: Uint8Array[] = [];

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#input = input[Symbol.asyncIterator]();
  }

  async next(): Promise<Uint8Array | undefined> {
    const pending = this.#pending.shift();
    if (pending !== undefined) return pending;
    const next = await this.#input.next();
    return next.done === true ? undefined : next.value;
  }

  unshift(chunk: Uint8Array): void {
    if (chunk.length > 0) this.#pending.unshift(chunk);
  }

  /** The next bytes, without taking them: at least `count`, fewer only at the end. */
  async peek(count: number): Promise<Uint8Array> {
    let head: Uint8Array = Buffer.alloc(0);
    while (head.length < count) {
      const chunk = await this.next();
      if (chunk === undefined) break;
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    }
    this.unshift(head);
    return head;
  }

  async *all(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let chunk = await this.next(); chunk !== undefined; chunk = await this.next()) yield chunk;
  }

  /** Does not wait: an input that waits for more bytes would block the caller. */
  [Symbol.dispose](): void {
    this.#input.return?.().catch(() => undefined);
  }
}
