import { BLOCK } from "./columns.ts";
import { EntryColumns } from "./entry-columns.ts";
import { bufferSource, fileSource, Pages } from "./pages.ts";
import type { ByteSource } from "./pages.ts";
import { invalid } from "./sidecar-error.ts";
import { decodeHeader, encodeBinStart } from "./sidecar-header.ts";
import { layOut, sumsSpan } from "./sidecar-layout.ts";
import type { SidecarLayout } from "./sidecar-layout.ts";
import { loadXxh64 } from "./xxh64.ts";
import type { Xxh64 } from "./xxh64.ts";

/** Number of blocks to keep when a file is read from beginning to end. */
const LIMIT = 512;

/** Opens a file by its path or by a descriptor that the caller closes, or opens bytes. @throws SidecarError */
export async function openSource(source: string | number | Uint8Array): Promise<EntryColumns> {
  const xxh64 = await loadXxh64();
  return typeof source === "object" ? openColumns(bufferSource(source), xxh64, Infinity) : openColumns(fileSource(source), xxh64, LIMIT);
}

/** Reads only the header and the sums. Closes `source` if it throws; otherwise closing the columns closes it. */
export function openColumns(source: ByteSource, xxh64: Xxh64, limit: number): EntryColumns {
  try {
    const layout = openLayout(source, xxh64, limit);
    return new EntryColumns(layout.layout, layout.pages);
  } catch (error) {
    source.close();
    throw error;
  }
}

function openLayout(source: ByteSource, xxh64: Xxh64, limit: number): { layout: SidecarLayout; pages: Pages } {
  const read = (position: number, length: number): Buffer => source.read(() => Buffer.allocUnsafeSlow(length), position, length);
  const header = decodeHeader(read(0, Math.min(BLOCK, source.length)), source.length);
  const { covered, content } = sumsSpan(header, source.length);
  const tail = read(covered, source.length - covered);
  const start = encodeBinStart("sums", content.length);
  if (!tail.subarray(0, start.length).equals(start)) throw invalid("sums", covered);
  const sums = tail.subarray(start.length, -8);
  if (xxh64(sums) !== tail.readBigUInt64LE(tail.length - 8)) throw invalid("sums", source.length - 8);
  const pages = new Pages({ source, covered, sums, xxh64, limit });
  // the header was read before its checksum; verify it now
  pages.u8(0);
  return { layout: layOut(header, covered, (position, length) => pages.copy(position, length)), pages };
}
