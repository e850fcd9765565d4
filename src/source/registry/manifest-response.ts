/** Manifests as bytes: the one place where they are read with a cap and checked against what named them. */
import { createHash } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { ShaleError } from "../../errors.ts";
import { MAX_MANIFEST_BYTES } from "../../image/document.ts";
import { digestAlgorithm, parseBlobDigest, type BlobDigest } from "../../image/digest.ts";
import type { HttpResponse } from "../http/http-client.ts";

/**
 * The body of a response, at most 4 MiB. We ask for no content coding; a registry that codes all the same is believed when
 * the coded bytes are what the digest names, else decoded.
 *
 * @throws MANIFEST_TOO_LARGE, MANIFEST_INVALID
 */
export async function readDocument(response: HttpResponse, expected: BlobDigest | undefined): Promise<Buffer> {
  const bytes = await response.body.readAll(MAX_MANIFEST_BYTES);
  if (bytes === undefined) throw tooLarge(response.url.host);
  const coding = response.header("content-encoding")?.toLowerCase() ?? "identity";
  if (coding === "identity" || (expected !== undefined && computeDigest(bytes, expected) === expected)) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_MANIFEST_BYTES });
  } catch (error) {
    throw new ShaleError(
      "MANIFEST_INVALID",
      `"${response.url.host}" sent a manifest in a content coding that cannot be undone`,
      {},
      { cause: error },
    );
  }
}

/** The digest of these bytes, by the algorithm of `like`; sha256 without one. */
export function computeDigest(bytes: Uint8Array, like?: BlobDigest): BlobDigest {
  const algorithm = like === undefined ? "sha256" : digestAlgorithm(like);
  return parseBlobDigest(`${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`);
}

/** @throws SIZE_MISMATCH, DIGEST_MISMATCH */
export function verifyDocument(bytes: Uint8Array, { digest, size }: { digest: BlobDigest; size: number }): void {
  if (bytes.length !== size) {
    const message = `manifest ${digest} has ${bytes.length} bytes, and its descriptor says ${size}`;
    throw new ShaleError("SIZE_MISMATCH", message, { what: "manifest", digest, expected: size, actual: bytes.length });
  }
  const actual = computeDigest(bytes, digest);
  if (actual !== digest) throw mismatch(digest, actual);
}

/** Never trusted, but a header that contradicts its own body means that something in between is broken. */
export function checkDigestHeader(bytes: Uint8Array, header: string | undefined): void {
  const claimed = parseDigestHeader(header);
  if (claimed === undefined) return;
  const actual = computeDigest(bytes, claimed);
  if (actual !== claimed) throw mismatch(claimed, actual);
}

export function tooLarge(where: string): ShaleError<"MANIFEST_TOO_LARGE"> {
  const message = `the manifest from "${where}" is longer than ${MAX_MANIFEST_BYTES} bytes`;
  return new ShaleError("MANIFEST_TOO_LARGE", message, { limit: MAX_MANIFEST_BYTES });
}

/** A Docker-Content-Digest header, if it is well-formed: a claim and no more. */
export function parseDigestHeader(header: string | undefined): BlobDigest | undefined {
  try {
    return header === undefined ? undefined : parseBlobDigest(header.trim());
  } catch (error) {
    if (ShaleError.is(error, "DIGEST_INVALID")) return undefined;
    throw error;
  }
}

function mismatch(expected: string, actual: string): ShaleError<"DIGEST_MISMATCH"> {
  return new ShaleError("DIGEST_MISMATCH", `the manifest is ${actual}, not ${expected}; the registry or something in between changed it`, {
    what: "manifest",
    expected,
    actual,
  });
}
