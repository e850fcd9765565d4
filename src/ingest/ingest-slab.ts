/** Reads the entries of one slab, stores the content of its files, and keeps every other byte. */
import { HeadersEncoder } from "../../format/headers-encoder.ts";
import { ShaleError } from "../errors.ts";
import { showBytes } from "../bytes.ts";
import type { TarEntry } from "../tar/entry.ts";
import { readEntry } from "../tar/read-entry.ts";
import type { ChunkWriter, FileAttributes } from "./chunk-writer.ts";
import { PartBuilder, type Part } from "./part.ts";
import type { ReadySlab } from "./slabs.ts";

/** `bytes` is the slab's memory; `ready` says which bytes of it are whole entries. */
export function ingestSlab(bytes: Buffer, ready: ReadySlab, chunks: ChunkWriter): Part {
  const { start, end, offset } = ready;
  const part = new PartBuilder(ready.sequence);
  const headers = new HeadersEncoder();
  let kept = start;
  for (let at = start; at < end;) {
    const entry = readEntry(bytes, at, end, { base: offset - start });
    if (entry === "end" || entry === "more") break;
    refuseUnsupported(entry, offset + (at - start));
    const hasData = entry.kind === "file" && entry.size > 0;
    const stored = hasData ? chunks.put(bytes.subarray(entry.data, entry.data + entry.stored), fileAttributes(entry)) : undefined;
    part.add(entry, hasData ? offset + (entry.data - start) : 0, stored);
    if (hasData) {
      headers.literal(bytes.subarray(kept, entry.data));
      headers.data();
      kept = entry.data + entry.stored;
    }
    at = entry.end;
  }
  headers.literal(bytes.subarray(kept, end));
  return part.build(headers.frame());
}

export function fileAttributes(entry: TarEntry): FileAttributes {
  const { mode, uid, gid, mtime, mtimeNs, xattrs } = entry;
  return { mode, uid, gid, mtime, mtimeNs, xattrs };
}

export function refuseUnsupported(entry: TarEntry, offset: number): void {
  if (!entry.sparse) return;
  const name = showBytes(entry.path, 200);
  const message = `the layer holds the sparse file ${JSON.stringify(name)}, which this version does not unpack; rebuild the image without --sparse`;
  throw new ShaleError("TAR_UNSUPPORTED", message, { offset, entry: name });
}
