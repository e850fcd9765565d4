/** Checks manifests and image indexes against their descriptors. */
import { ShaleError } from "../errors.ts";
import { computeDigest } from "../image/compute-digest.ts";
import { digestMismatch, type BlobDigest } from "../image/digest.ts";
import { MAX_MANIFEST_BYTES } from "../image/document.ts";

/** @throws SIZE_MISMATCH, DIGEST_MISMATCH */
export function verifyManifest(bytes: Uint8Array, { digest, size }: { readonly digest: BlobDigest; readonly size: number }): void {
  if (bytes.length !== size) {
    const message = `manifest ${digest} has ${bytes.length} bytes, but its descriptor says ${size}; push or copy the image again`;
    throw new ShaleError("SIZE_MISMATCH", message, { what: "manifest", digest, expected: size, actual: bytes.length });
  }
  checkManifestDigest(bytes, digest);
}

/** @throws DIGEST_MISMATCH */
export function checkManifestDigest(bytes: Uint8Array, expected: BlobDigest): void {
  const actual = computeDigest(bytes, expected);
  if (actual === expected) return;
  throw digestMismatch({
    what: "manifest",
    expected,
    actual,
    advice: "the registry, a proxy or the copy changed it, pull or copy it again",
  });
}

/** `where` is the host, or the file in quotes. */
export function manifestTooLarge(where: string): ShaleError<"MANIFEST_TOO_LARGE"> {
  const message = `the manifest from ${where} is larger than ${MAX_MANIFEST_BYTES} bytes, the most that shale reads`;
  return new ShaleError("MANIFEST_TOO_LARGE", message, { limit: MAX_MANIFEST_BYTES });
}
