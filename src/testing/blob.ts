/** Content that the test registry serves: in memory, from a file, or generated on demand. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { computeDigest } from "../image/compute-digest.ts";
import { parseBlobDigest, type BlobDigest } from "../image/digest.ts";

/** The bytes themselves, or a function that yields them from an offset (for content too large for memory). */
export type BlobContent = Uint8Array | ((offset: number) => AsyncIterable<Uint8Array>);

export interface TestBlob {
  readonly mediaType: string;
  readonly digest: BlobDigest;
  /** Bytes. */
  readonly size: number;
  readonly content: BlobContent;
}

export function bytesBlob(bytes: Uint8Array, mediaType: string): TestBlob {
  return { mediaType, digest: computeDigest(bytes), size: bytes.length, content: bytes };
}

/** A file that must not change while it is served. Reads it once for its digest. */
export async function fileBlob(path: string, mediaType: string): Promise<TestBlob> {
  const content = (offset: number): AsyncIterable<Buffer> => createReadStream(path, { start: offset, highWaterMark: 1 << 20 });
  const hash = createHash("sha256");
  for await (const chunk of content(0)) hash.update(chunk);
  const { size } = await stat(path);
  return { mediaType, digest: parseBlobDigest(`sha256:${hash.digest("hex")}`), size, content };
}

/** The bytes `start` to `end` (exclusive). */
export async function* readContent(blob: TestBlob, start: number, end: number): AsyncGenerator<Uint8Array> {
  if (typeof blob.content !== "function") {
    yield blob.content.subarray(start, end);
    return;
  }
  let left = end - start;
  if (left <= 0) return;
  for await (const chunk of blob.content(start)) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}
