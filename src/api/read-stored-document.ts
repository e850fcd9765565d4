/** A manifest or config of the store as it came, verified. */
import { ShaleError } from "../errors.ts";
import type { BlobDigest } from "../image/digest.ts";
import { computeDigest } from "../source/manifest-bytes.ts";
import type { BootCore } from "../session/boot-core.ts";

/** @throws STORE_DAMAGED when it is gone, or other bytes than the digest says */
export function readStoredDocument(core: Pick<BootCore, "images" | "layout">, kind: "manifest" | "config", digest: BlobDigest): Buffer {
  const bytes = core.images.readDocument(kind, digest);
  if (bytes !== undefined && computeDigest(bytes, digest) === digest) return bytes;
  const message = `the ${kind} ${digest} is damaged or missing in the store; pull the image again with \`force\``;
  throw new ShaleError("STORE_DAMAGED", message, { path: core.layout[kind](digest) });
}
