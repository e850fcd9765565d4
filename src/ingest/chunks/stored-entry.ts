/** Steps that are the same for an entry within one slab and for one in pieces. */
import type { HeadersEncoder } from "../../../format/headers-encoder.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { readEntry } from "../../tar/read-entry.ts";
import type { Stop } from "../../tar/scan.ts";
import type { ChunkStream, ChunkWriter, FileAttributes } from "./chunk-writer.ts";
import { SparseFile } from "./sparse-file.ts";
import type { StagedPath } from "./staged-paths.ts";

/** Reads an entry that `measureEntry` has checked against the layer's limits. `base`: offset of the bytes in the layer. */
export function readMeasured(bytes: Buffer, at: number, base: number): TarEntry | Stop {
  return readEntry(bytes, at, bytes.length, { base, xattrLimit: Number.POSITIVE_INFINITY });
}

/** Copies to a plain object, since the argument may inherit its fields from a prototype. */
export function fileAttributes({ mode, uid, gid, mtime, mtimeNs, xattrs }: FileAttributes): FileAttributes {
  return { mode, uid, gid, mtime, mtimeNs, xattrs };
}

/** Returns the writer for the bytes that the archive stores. */
export function openContent(chunks: ChunkWriter, entry: TarEntry, place: StagedPath | undefined): ChunkStream | SparseFile {
  const stream = chunks.stream(fileAttributes(entry), place);
  return entry.sparse ? new SparseFile(stream, entry.sparse, entry.size) : stream;
}

/** Records the position of the file's data in the kept headers. */
export function noteData(headers: HeadersEncoder, { sparse }: TarEntry): void {
  if (!sparse) return headers.data();
  for (const { offset, length } of sparse) headers.extent(offset, length);
  headers.endData();
}
