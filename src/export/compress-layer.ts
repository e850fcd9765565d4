/** Compresses a layer to a file. Equal layers give equal bytes with the same version of the compression library. */
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, createZstdCompress } from "node:zlib";
import { parseBlobDigest, type BlobDigest } from "../image/digest.ts";

export interface CompressedLayer {
  readonly path: string;
  readonly digest: BlobDigest;
  /** Bytes. */
  readonly size: number;
}

/** `path` must not exist. */
export async function compressLayer(
  pieces: AsyncIterable<Uint8Array>,
  path: string,
  { compression, signal }: { readonly compression: "gzip" | "zstd"; readonly signal: AbortSignal },
): Promise<CompressedLayer> {
  await using handle = await open(path, "wx", 0o600);
  const digest = createHash("sha256");
  let size = 0;
  await pipeline(
    Readable.from(pieces, { objectMode: false, highWaterMark: 1 }),
    compressor(compression),
    async (compressed: AsyncIterable<Buffer>) => {
      for await (const piece of compressed) {
        digest.update(piece);
        await handle.writeFile(piece);
        size += piece.length;
      }
    },
    { signal },
  );
  return { path, size, digest: parseBlobDigest(`sha256:${digest.digest("hex")}`) };
}

function compressor(compression: "gzip" | "zstd"): Transform {
  const chunkSize = 256 * 1024;
  return compression === "gzip" ? createGzip({ chunkSize }) : createZstdCompress({ chunkSize });
}
