/** The compression of a layer blob or an archive, recognized by its first bytes: media types and file names can be wrong. */
export type Compression = "none" | "gzip" | "zstd";

/** How many bytes `sniffCompression` needs; further bytes change nothing. */
export const SNIFF_BYTES = 4;

const ZSTD_FRAME = 0xfd2fb528;
/** The lowest of the 16 magic numbers of skippable frames, with which a zstd stream may begin: RFC 8878, section 3.1.2. */
const ZSTD_SKIPPABLE = 0x184d2a50;

export function sniffCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  const magic = head.length < SNIFF_BYTES ? 0 : Buffer.from(head.buffer, head.byteOffset, SNIFF_BYTES).readUInt32LE(0);
  return magic === ZSTD_FRAME || (magic & ~0xf) === ZSTD_SKIPPABLE ? "zstd" : "none";
}
