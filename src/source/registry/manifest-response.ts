/** Reads manifests from HTTP responses. */
import { gunzipSync } from "node:zlib";
import { ShaleError } from "../../errors.ts";
import { computeDigest } from "../../image/compute-digest.ts";
import { parseBlobDigest, type BlobDigest } from "../../image/digest.ts";
import { MAX_MANIFEST_BYTES, quote } from "../../image/document.ts";
import type { HttpResponse } from "../http/http-client.ts";
import { checkManifestDigest, manifestTooLarge } from "../verify-manifest.ts";

/**
 * The body of a response, at most 4 MiB. Requests ask for no content coding. If a registry encodes the body anyway, the encoded bytes are
 * returned if they have the expected digest, otherwise the decoded ones.
 *
 * @throws MANIFEST_TOO_LARGE, MANIFEST_INVALID
 */
export async function readManifestBody(response: HttpResponse, expected: BlobDigest | undefined): Promise<Buffer> {
  const bytes = await response.body.readAll(MAX_MANIFEST_BYTES);
  if (bytes === undefined) throw manifestTooLarge(quote(response.url.host));
  const coding = response.header("content-encoding")?.toLowerCase() ?? "identity";
  if (coding === "identity" || (expected !== undefined && computeDigest(bytes, expected) === expected)) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_MANIFEST_BYTES });
  } catch (error) {
    const message = `"${response.url.host}" sent a manifest with the content coding ${quote(coding)}, which cannot be decoded; report it to the registry`;
    throw new ShaleError("MANIFEST_INVALID", message, {}, { cause: error });
  }
}

/** The header is never trusted, but if it contradicts the body, the registry or a proxy is broken. @throws DIGEST_MISMATCH */
export function checkDigestHeader(bytes: Uint8Array, header: string | undefined): void {
  const claimed = parseDigestHeader(header);
  if (claimed !== undefined) checkManifestDigest(bytes, claimed);
}

/** The digest in a Docker-Content-Digest header, unverified; undefined if it is malformed. */
export function parseDigestHeader(header: string | undefined): BlobDigest | undefined {
  try {
    return header === undefined ? undefined : parseBlobDigest(header.trim());
  } catch (error) {
    if (ShaleError.is(error, "DIGEST_INVALID")) return undefined;
    throw error;
  }
}
