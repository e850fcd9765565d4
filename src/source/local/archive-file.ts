/** The outer tar of an archive as a file with random access: the archive itself if it is a plain tar, otherwise a spooled copy. */
import { constants } from "node:fs";
import { open, unlink, type FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";
import { isErrno, ShaleError } from "../../errors.ts";
import { SNIFF_BYTES, sniffCompression } from "../../image/compression.ts";
import { abortable } from "../abortable.ts";
import { decompress } from "./decompress.ts";
import { handleFile, sourceInvalid, type LayoutFile } from "./layout-files.ts";

export interface ArchiveOptions {
  /** Returns an unused path on a disk with enough room, for a spooled copy. The copy is unlinked while it is open. */
  readonly spool: () => string;
  /** Returns the stream that the file `-` stands for. */
  readonly input: () => AsyncIterable<Uint8Array>;
  /** Maximum size of a spooled copy, in uncompressed bytes. */
  readonly maxBytes: number;
}

export interface ArchiveOpen extends ArchiveOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Opens the tar in `file`, which may be compressed as a whole, or `-`. @throws SOURCE_INVALID, LIMIT_IMAGE_BYTES, NO_SPACE by its errno */
export async function openArchiveFile(file: string, options: ArchiveOpen): Promise<LayoutFile> {
  if (file === "-") return spool(options.input(), file, options);
  const handle = await openRegular(file);
  try {
    if (await isPlain(handle)) return handleFile(handle, (await handle.stat()).size);
    const plain = await spool(handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1024 * 1024 }), file, options);
    await handle.close();
    return plain;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Follows symlinks, because the caller named the path. O_NONBLOCK: opening a FIFO would block. */
async function openRegular(path: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw sourceInvalid(path, isErrno(error, "ENOENT", "ENOTDIR") ? "does not exist" : "cannot be opened", error);
  }
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  throw sourceInvalid(path, "is not a regular file; pass a stream as standard input, with - as the file");
}

async function isPlain(handle: FileHandle): Promise<boolean> {
  const head = Buffer.alloc(SNIFF_BYTES);
  await handle.read(head, 0, head.length, 0);
  return sniffCompression(head) === "none";
}

/** Copies a stream, decompressed, to a file that is already unlinked, so that nothing of it can remain. */
async function spool(
  input: AsyncIterable<Uint8Array>,
  where: string,
  { spool: fresh, maxBytes, signal }: ArchiveOpen,
): Promise<LayoutFile> {
  signal?.throwIfAborted();
  const path = fresh();
  const handle = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    await unlink(path);
    return handleFile(handle, await abortable(writeStream(decompress(input), { handle, maxBytes }), signal));
  } catch (error) {
    // a stream that yields nothing would keep the process alive
    if (input instanceof Readable) input.destroy();
    await handle.close();
    signal?.throwIfAborted();
    throw isZlibError(error) ? sourceInvalid(where, "is damaged and cannot be decompressed; copy or save it again", error) : error;
  }
}

/** Returns how many bytes it wrote. */
async function writeStream(
  input: AsyncIterable<Uint8Array>,
  { handle, maxBytes }: { readonly handle: FileHandle; readonly maxBytes: number },
): Promise<number> {
  let size = 0;
  for await (const chunk of input) {
    if (size + chunk.length > maxBytes) throw tooLarge(maxBytes);
    await writeAll(handle, chunk, size);
    size += chunk.length;
  }
  return size;
}

function isZlibError(error: unknown): boolean {
  return typeof error === "object" && error !== null && "code" in error && /^(?:Z_|ZSTD_|ERR_)/.test(String(error.code));
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
}

function tooLarge(maximum: number): ShaleError<"LIMIT_IMAGE_BYTES"> {
  const message = `the archive is larger than the limit of ${maximum} bytes; raise \`limits.imageBytes\` if the archive is trusted`;
  return new ShaleError("LIMIT_IMAGE_BYTES", message, { limit: "imageBytes", maximum });
}
