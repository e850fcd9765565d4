/** What is the same for an entry that lies in one slab and for one that comes in pieces. */
import type { HeadersEncoder } from "../../../format/headers-encoder.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { readEntry } from "../../tar/read-entry.ts";
import type { Stop } from "../../tar/scan.ts";
import type { ChunkStream, ChunkWriter, FileAttributes } from "./chunk-writer.ts";
import { SparseFile } from "./sparse-file.ts";
import type { Place } from "./tree-places.ts";

/** Of bytes that `measureEntry` went over with the layer's limits: they are not asked for again. `base`: offset of the bytes in the layer. */
export function readMeasured(bytes: Buffer, at: number, base: number): TarEntry | Stop {
  return readEntry(bytes, at, bytes.length, { base, xattrLimit: Number.POSITIVE_INFINITY });
}

/** A plain object: what is given may have its fields from a prototype. */
export function fileAttributes({ mode, uid, gid, mtime, mtimeNs, xattrs }: FileAttributes): FileAttributes {
  return { mode, uid, gid, mtime, mtimeNs, xattrs };
}

/** To be given the bytes that the archive stores. */
export function openContent(chunks: ChunkWriter, entry: TarEntry, place: Place | undefined): ChunkStream | SparseFile {
  const stream = chunks.stream(fileAttributes(entry), place);
  return entry.sparse ? new SparseFile(stream, entry.sparse, entry.size) : stream;
}

/** Where the file's content goes among the bytes that are kept. */
export function noteData(headers: HeadersEncoder, { sparse }: TarEntry): void {
  if (!sparse) return headers.data();
  for (const { offset, length } of sparse) headers.extent(offset, length);
  headers.endData();
}
