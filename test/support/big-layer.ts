/** A layer with one large file, made while it is served: neither the file nor the blob is ever whole in memory or on the disk. */
import { createHash } from "node:crypto";
import { parseBlobDigest, parseDiffId } from "../../src/image/digest.ts";
import type { TestLayer } from "../../src/testing/index.ts";
import { END, rawHeader } from "../tar/raw-header.ts";

const PIECE = 1024 * 1024;

/** Uncompressed: `large`, then a small file. The content is cheap to make, and no two of its pieces are alike. */
export function bigLayer(bytes: number): TestLayer {
  const size = bytes < 8 ** 11 ? bytes : Buffer.concat([Buffer.from([0x80, 0, 0, 0]), bigEndian(bytes)]);
  const head = rawHeader({ name: "large", size, mtime: 1_600_000_000 });
  const padding = Buffer.alloc((512 - (bytes % 512)) % 512);
  const tail = Buffer.concat([
    padding,
    rawHeader({ name: "small", size: 5 }),
    Buffer.concat([Buffer.from("small"), Buffer.alloc(507)]),
    END,
  ]);
  const total = head.length + bytes + tail.length;
  const piece = Buffer.alloc(PIECE, "sedimentary ");
  const content = async function* (offset: number): AsyncGenerator<Buffer> {
    for (let at = offset; at < total;) {
      const next = part(at);
      yield next;
      at += next.length;
    }
  };
  const part = (at: number): Buffer => {
    if (at < head.length) return head.subarray(at);
    const within = at - head.length;
    if (within >= bytes) return tail.subarray(within - bytes);
    const number = Math.floor(within / PIECE);
    const start = within - number * PIECE;
    const made = Buffer.from(piece.subarray(start, Math.min(PIECE, bytes - number * PIECE)));
    if (start === 0 && made.length >= 8) made.writeDoubleLE(number, 0);
    return made;
  };
  const hash = createHash("sha256");
  for (let at = 0; at < total;) {
    const next = part(at);
    hash.update(next);
    at += next.length;
  }
  const digest = `sha256:${hash.digest("hex")}`;
  return {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    digest: parseBlobDigest(digest),
    diffId: parseDiffId(digest),
    size: total,
    content,
  };
}

function bigEndian(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
