/** The files of an image layout, in a directory or an archive. */
import type { FileHandle } from "node:fs/promises";
import { ShaleError } from "../../errors.ts";
import { MAX_MANIFEST_BYTES, quote } from "../../image/document.ts";
import { manifestTooLarge } from "../verify-manifest.ts";

export interface LayoutFile extends AsyncDisposable {
  /** Bytes. The file may have fewer. */
  readonly size: number;
  /** Like `FileHandle.read`; returns 0 at the end. */
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<number>;
}

export interface LayoutFiles {
  /** The layout's directory or archive, for messages. */
  readonly where: string;
  /** Opens a regular file by its name in the layout, such as `blobs/sha256/...`; undefined if it is missing. @throws SOURCE_INVALID */
  open(name: string): Promise<LayoutFile | undefined>;
}

/** A layout file that reads through an open handle, and closes it. */
export function handleFile(handle: FileHandle, size: number): LayoutFile {
  return {
    size,
    read: async (buffer, offset, length, position) => (await handle.read(buffer, offset, length, position)).bytesRead,
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Reads a document of at most 4 MiB; undefined if it is missing. @throws SOURCE_INVALID, MANIFEST_TOO_LARGE */
export async function readSmallFile(files: LayoutFiles, name: string): Promise<Buffer | undefined> {
  await using file = await files.open(name);
  if (!file) return undefined;
  if (file.size > MAX_MANIFEST_BYTES) throw manifestTooLarge(quote(`${files.where} ${name}`));
  const buffer = Buffer.allocUnsafe(file.size + 1);
  let length = 0;
  for (;;) {
    const bytesRead = await file.read(buffer, length, buffer.length - length, length);
    length += bytesRead;
    if (length > file.size) throw sourceInvalid(files.where, `: ${quote(name)} grew while it was read; try again`);
    if (bytesRead === 0) return Buffer.from(buffer.subarray(0, length));
  }
}

/** `problem` follows the quoted path in the message. */
export function sourceInvalid(path: string, problem: string, cause?: unknown): ShaleError<"SOURCE_INVALID"> {
  const text = problem.startsWith(":") ? problem : ` ${problem}`;
  return new ShaleError("SOURCE_INVALID", `${quote(path)}${text}`, { path }, cause === undefined ? undefined : { cause });
}
