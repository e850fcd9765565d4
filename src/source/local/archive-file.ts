/** The outer tar of an archive as a file to be read at random: opened where it lies, or spooled from a stream. */
import { constants } from "node:fs";
import { open, unlink, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { Transform } from "node:stream";
import { isErrno, ShaleError } from "../../errors.ts";
import type { Compression } from "../../image/media-type.ts";
import { sourceInvalid, type LayoutFile } from "./layout-files.ts";

export interface ArchiveOptions {
  /** A path on a disk with room, that nothing has had before: for what must be spooled. Its file has no name while it is used. */
  readonly spool: () => string;
  /** What the file `-` stands for. */
  readonly input: () => AsyncIterable<Uint8Array>;
  /** Bytes of an archive that are spooled at most, uncompressed. */
  readonly maxBytes: number;
}

export interface ArchiveOpen extends ArchiveOptions {
  readonly signal?: AbortSignal | undefined;
}

/** The tar in `file`, which may be compressed as a whole, or `-`. @throws SOURCE_INVALID, LIMIT_IMAGE_BYTES, NO_SPACE by its errno */
export async function openArchiveFile(file: string, options: ArchiveOpen): Promise<LayoutFile> {
  if (file === "-") return spool(options.input(), file, options);
  const handle = await openRegular(file);
  try {
    const compression = await compressionAt(handle);
    if (compression === "none") return fileOf(handle, (await handle.stat()).size);
    const plain = await spool(handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1024 * 1024 }), file, options);
    await handle.close();
    return plain;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** What the first bytes say: a tar does not begin like this. */
export function sniffCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  return head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd ? "zstd" : "none";
}

/** Symlinks are followed: the path is the caller's. O_NONBLOCK: a FIFO would block its opener. */
async function openRegular(path: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw sourceInvalid(path, isErrno(error, "ENOENT", "ENOTDIR") ? "does not exist" : "cannot be opened", error);
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw sourceInvalid(path, "is not a regular file; give a stream as standard input, and - as the file");
}

async function compressionAt(handle: FileHandle): Promise<Compression> {
  const head = Buffer.alloc(4);
  await handle.read(head, 0, head.length, 0);
  return sniffCompression(head);
}

/** All of a stream in a file that has lost its name already: whatever happens, nothing of it stays. */
async function spool(
  input: AsyncIterable<Uint8Array>,
  where: string,
  { spool: fresh, maxBytes, signal }: ArchiveOpen,
): Promise<LayoutFile> {
  signal?.throwIfAborted();
  const path = fresh();
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  // a stream that gives nothing must not outlast the signal, nor keep the process alive
  const stop = (): void => void (input instanceof Readable && input.destroy());
  try {
    await unlink(path);
    const size = await abortable(storeAll(input, { handle, maxBytes }), signal);
    return fileOf(handle, size);
  } catch (error) {
    stop();
    await handle.close();
    signal?.throwIfAborted();
    throw isZlibError(error) ? sourceInvalid(where, "is damaged: its compression cannot be undone", error) : error;
  }
}

/** Bytes stored. */
async function storeAll(input: AsyncIterable<Uint8Array>, { handle, maxBytes }: { handle: FileHandle; maxBytes: number }): Promise<number> {
  let size = 0;
  const store = async (pieces: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const piece of pieces) {
      if (size + piece.length > maxBytes) throw tooLarge(maxBytes);
      await writeAll(handle, piece, size);
      size += piece.length;
    }
  };
  const { head, all } = await peek(input);
  const compression = sniffCompression(head);
  if (compression === "none") await store(all);
  else await pipeline(Readable.from(all, { objectMode: false }), decompressor(compression), store);
  return size;
}

function isZlibError(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^(?:Z_|ZSTD_|ERR_)/.test(String(error.code));
}

function decompressor(compression: "gzip" | "zstd"): Transform {
  const chunkSize = 256 * 1024;
  return compression === "gzip" ? createGunzip({ chunkSize }) : createZstdDecompress({ chunkSize });
}

async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
    // lost the race, it fails by itself when its file is closed
    work.catch(() => {});
  }
}

/** The first four bytes, or as many as there are, and the stream as it was. */
async function peek(input: AsyncIterable<Uint8Array>): Promise<{ head: Buffer; all: AsyncIterable<Uint8Array> }> {
  const pieces = input[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    const next = await pieces.next();
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const all = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield head;
      for (;;) {
        const next = await pieces.next();
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      await pieces.return?.();
    }
  };
  return { head, all: all() };
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

function tooLarge(maximum: number): ShaleError<"LIMIT_IMAGE_BYTES"> {
  const message = `the archive has more than the ${maximum} bytes allowed; raise \`limits.imageBytes\` if it is trusted`;
  return new ShaleError("LIMIT_IMAGE_BYTES", message, { limit: "imageBytes", maximum });
}

function fileOf(handle: FileHandle, size: number): LayoutFile {
  return {
    size,
    read: async (buffer, offset, length, position) => (await handle.read(buffer, offset, length, position)).bytesRead,
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
