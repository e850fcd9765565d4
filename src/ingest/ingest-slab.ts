/** Reads the entries of one slab, stores the content of its files, and keeps every other byte. */
import { HeadersEncoder } from "../../format/headers-encoder.ts";
import { ABSENT, PLACED } from "../store/placing.ts";
import type { TarEntry } from "../tar/entry.ts";
import { readEntry } from "../tar/read-entry.ts";
import type { ChunkWriter, FileAttributes } from "./chunk-writer.ts";
import { PartBuilder, type Part, type StoredFile } from "./part.ts";
import type { FilledSlab } from "./slabs.ts";
import { SparseFile } from "./sparse-file.ts";
import type { Place, TreePlaces } from "./tree-places.ts";

/** `bytes` is the slab's memory; `places`: in the layer's tree, if one is staged. */
export function ingestSlab(
  bytes: Buffer,
  { sequence, end, offset }: FilledSlab,
  chunks: ChunkWriter,
  places: TreePlaces | undefined,
): Part {
  const part = new PartBuilder(sequence);
  const headers = new HeadersEncoder();
  let kept = 0;
  for (let at = 0; at < end;) {
    // what an entry may have was measured when the slab was cut
    const entry = readEntry(bytes, at, end, { base: offset, xattrLimit: Number.POSITIVE_INFINITY });
    if (entry === "end" || entry === "more") break;
    const hasData = entry.kind === "file" && entry.size > 0;
    if (!hasData) part.add(entry, 0, undefined, entry.kind === "directory" && places?.directory(entry) === true ? PLACED : ABSENT);
    else {
      part.add(entry, offset + entry.data, store(bytes, entry, chunks, places?.file(entry)));
      headers.literal(bytes.subarray(kept, entry.data));
      noteData(headers, entry);
      kept = entry.data + entry.stored;
    }
    at = entry.end;
  }
  headers.literal(bytes.subarray(kept, end));
  return part.build(headers.frame());
}

/** A plain object: what is given may have its fields from a prototype. */
export function fileAttributes({ mode, uid, gid, mtime, mtimeNs, xattrs }: FileAttributes): FileAttributes {
  return { mode, uid, gid, mtime, mtimeNs, xattrs };
}

/** Where the file's content goes among the bytes that are kept. */
export function noteData(headers: HeadersEncoder, { sparse }: TarEntry): void {
  if (!sparse) return headers.data();
  for (const { offset, length } of sparse) headers.extent(offset, length);
  headers.endData();
}

function store(bytes: Buffer, entry: TarEntry, chunks: ChunkWriter, place: Place | undefined): StoredFile {
  const content = bytes.subarray(entry.data, entry.data + entry.stored);
  if (!entry.sparse) return chunks.put(content, fileAttributes(entry), place);
  const file = new SparseFile(chunks.stream(fileAttributes(entry), place), entry.sparse, entry.size);
  try {
    file.write(content);
    return file.finish();
  } catch (error) {
    file.discard();
    throw error;
  }
}
