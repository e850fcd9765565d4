/** The files of an image layout, wherever they lie: what a reader of layouts asks for. */
import { ShaleError } from "../../errors.ts";
import { MAX_MANIFEST_BYTES, quote } from "../../image/document.ts";
import { tooLarge } from "../registry/manifest-response.ts";

export interface LayoutFile extends AsyncDisposable {
  /** Bytes. A claim: fewer may be there. */
  readonly size: number;
  /** As `FileHandle.read`; 0 at the end. */
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<number>;
}

export interface LayoutFiles {
  /** The layout's directory or archive, for messages. */
  readonly where: string;
  /** A regular file by its name in the layout, such as `blobs/sha256/...`; undefined if there is none. @throws SOURCE_INVALID */
  open(name: string): Promise<LayoutFile | undefined>;
}

/** A whole document, at most 4 MiB; undefined if there is none. @throws SOURCE_INVALID, MANIFEST_TOO_LARGE */
export async function readSmallFile(files: LayoutFiles, name: string): Promise<Buffer | undefined> {
  await using file = await files.open(name);
  if (!file) return undefined;
  if (file.size > MAX_MANIFEST_BYTES) throw tooLarge(`${files.where} ${name}`);
  const buffer = Buffer.allocUnsafe(file.size + 1);
  let length = 0;
  for (;;) {
    const bytesRead = await file.read(buffer, length, buffer.length - length, length);
    length += bytesRead;
    if (length > file.size) throw sourceInvalid(files.where, `: ${quote(name)} grew while it was read`);
    if (bytesRead === 0) return Buffer.from(buffer.subarray(0, length));
  }
}

/** `problem` follows the quoted place. */
export function sourceInvalid(path: string, problem: string, cause?: unknown): ShaleError<"SOURCE_INVALID"> {
  const text = problem.startsWith(":") ? problem : ` ${problem}`;
  return new ShaleError("SOURCE_INVALID", `${quote(path)}${text}`, { path }, cause === undefined ? undefined : { cause });
}
