/** Reads the entries of one slab, stores the content of its files, and keeps every other byte. */
import { HeadersEncoder } from "../../../format/headers-encoder.ts";
import { ABSENT, STAGED } from "../../store/staged-state.ts";
import type { TarEntry } from "../../tar/entry.ts";
import type { ChunkWriter } from "../chunks/chunk-writer.ts";
import { PartBuilder, type Part, type StoredFile } from "../layer/part.ts";
import type { FilledSlab } from "./slabs.ts";
import { fileAttributes, noteData, openContent, readMeasured } from "../chunks/stored-entry.ts";
import type { StagedPath, StagedPaths } from "../chunks/staged-paths.ts";

/** `bytes`: of the slab, before its end; `places`: in the layer's tree, if one is staged. */
export function ingestSlab(bytes: Buffer, { sequence, offset }: FilledSlab, chunks: ChunkWriter, places: StagedPaths | undefined): Part {
  const part = new PartBuilder(sequence);
  const headers = new HeadersEncoder();
  let kept = 0;
  for (let at = 0; at < bytes.length;) {
    const entry = readMeasured(bytes, at, offset);
    if (entry === "end" || entry === "more") break;
    const hasData = entry.kind === "file" && entry.size > 0;
    if (!hasData) part.add(entry, 0, undefined, entry.kind === "directory" && places?.directory(entry) === true ? STAGED : ABSENT);
    else {
      part.add(entry, offset + entry.data, store(bytes, entry, chunks, places?.file(entry)));
      headers.literal(bytes.subarray(kept, entry.data));
      noteData(headers, entry);
      kept = entry.data + entry.stored;
    }
    at = entry.end;
  }
  headers.literal(bytes.subarray(kept));
  return part.build(headers.frame());
}

function store(bytes: Buffer, entry: TarEntry, chunks: ChunkWriter, place: StagedPath | undefined): StoredFile {
  const content = bytes.subarray(entry.data, entry.data + entry.stored);
  if (!entry.sparse) return chunks.put(content, fileAttributes(entry), place);
  const file = openContent(chunks, entry, place);
  try {
    file.write(content);
    return file.finish();
  } catch (error) {
    file.discard();
    throw error;
  }
}
