/** Sidecars with something wrong in them, for tests and for the vectors of format/vectors/. */
import { decodeHeader, encodeBinStart, encodeHeader } from "../format/sidecar-header.ts";
import { COLUMNS } from "../format/columns.ts";
import { loadXxh64 } from "../format/xxh64.ts";

const BLOCK = 65_536;

/** Makes the checksums of a changed sidecar right again, in place. */
export async function resum(bytes: Buffer): Promise<void> {
  const xxh64 = await loadXxh64();
  const blocks = Math.ceil(bytes.length / (BLOCK + 8));
  const sums = bytes.length - 8 * (blocks + 1);
  const covered = sums - 10;
  for (let block = 0; block < blocks; block++) {
    const sum = xxh64(bytes.subarray(block * BLOCK, Math.min((block + 1) * BLOCK, covered)));
    bytes.writeBigUInt64LE(sum, sums + block * 8);
  }
  bytes.writeBigUInt64LE(xxh64(bytes.subarray(sums, -8)), bytes.length - 8);
}

/** Where the columns lie in a whole sidecar. */
export function readColumns(bytes: Buffer): { name: string; start: number; length: number }[] {
  const { lengths, end } = decodeHeader(bytes, bytes.length);
  let at = end;
  return COLUMNS.map((name, row) => {
    const length = lengths[row] ?? 0;
    const start = at + name.length + 6;
    at = start + length;
    return { name, start, length };
  });
}

/** A small sidecar with columns of a later writer. */
export async function withColumns(bytes: Buffer, added: readonly (readonly [string, Buffer])[]): Promise<Buffer> {
  const header = decodeHeader(bytes, bytes.length);
  const sums = header.lengths.at(-1) ?? 0;
  const lengths = [...header.lengths.slice(0, -1), ...added.map(([, content]) => content.length), sums];
  const columns = bytes.subarray(header.end, bytes.length - sums - 10);
  const more = added.flatMap(([key, content]) => [encodeBinStart(key, content.length), content]);
  const file = Buffer.concat([await encodeHeader({ ...header, lengths }), columns, ...more, bytes.subarray(-sums - 10)]);
  await resum(file);
  return file;
}
