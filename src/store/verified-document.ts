/** Reads manifests and image configs of the store and verifies their digests. */
import { ShaleError } from "../errors.ts";
import { computeDigest } from "../image/compute-digest.ts";
import type { BlobDigest } from "../image/digest.ts";
import type { Images } from "./images.ts";
import type { StoreLayout } from "./layout.ts";

/** Returns undefined if the document is missing or does not match its digest. */
export function findVerified(images: Images, kind: "manifest" | "config", digest: BlobDigest): Buffer | undefined {
  const bytes = images.readDocument(kind, digest);
  if (bytes === undefined) return undefined;
  return computeDigest(bytes, digest) === digest ? bytes : undefined;
}

/** @throws STORE_DAMAGED if the document is missing or does not match its digest */
export function readVerified(
  { images, layout }: { readonly images: Images; readonly layout: StoreLayout },
  kind: "manifest" | "config",
  digest: BlobDigest,
): Buffer {
  const bytes = findVerified(images, kind, digest);
  if (bytes !== undefined) return bytes;
  const message = `the ${kind} ${digest} is damaged or missing in the store; pull the image again with \`force\``;
  throw new ShaleError("STORE_DAMAGED", message, { path: layout[kind](digest) });
}
