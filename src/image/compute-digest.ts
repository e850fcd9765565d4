/** Computes digests. Apart from digest.ts, because a cached pull must not load node:crypto (4 ms). */
import { createHash } from "node:crypto";
import { digestAlgorithm, parseBlobDigest, type BlobDigest } from "./digest.ts";

/** The digest of these bytes by the algorithm of `like`; default: sha256. */
export function computeDigest(bytes: Uint8Array, like?: BlobDigest): BlobDigest {
  const algorithm = like === undefined ? "sha256" : digestAlgorithm(like);
  return parseBlobDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`);
}
