/** An image of the store, for other tools: an OCI image layout, or an archive. */
import type { Writable } from "node:stream";
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { Compression } from "../image/media-type.ts";
import { exporterOf, type Image } from "./image.ts";

export interface ExportImageOptions {
  /**
   * `keep` (default): the blob as it was pulled, if the store has it (`keepBlobs`) or it was not compressed; else gzip. A Docker archive has its
   * layers uncompressed whatever is said here.
   */
  readonly compression?: "keep" | Compression | undefined;
  /** What `-` is in `oci-archive:-` and `docker-archive:-`; default: standard output. It is not ended. */
  readonly output?: Writable | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ExportedLayer {
  readonly diffId: DiffId;
  readonly digest: BlobDigest;
  /** Bytes. */
  readonly size: number;
}

export interface ExportResult {
  /** Of what was written; undefined for a Docker archive, which has no manifest. */
  readonly manifestDigest: BlobDigest | undefined;
  /** True when it is the manifest that was pulled. */
  readonly sameManifest: boolean;
  /** Bottom to top. */
  readonly layers: readonly ExportedLayer[];
}

/**
 * Writes an image to `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME]`; the file `-` is a stream. Its layers are
 * rebuilt byte for byte, so the diff IDs and the config stay; the manifest stays if every blob does, else a new one is written. A new
 * directory or file appears when it is whole, and a file that is there is replaced then; a layout that is there gets the image beside those it
 * has, in place of what bears the tag. A failure or an abort leaves what was there before.
 * @throws REFERENCE_INVALID, DESTINATION_UNUSABLE, NO_SPACE, NOT_CACHED, STORE_DAMAGED, SIDECAR_INVALID, DIGEST_MISMATCH, STORE_CLOSED
 */
export function exportImage(image: Image, destination: string, options: ExportImageOptions = {}): Promise<ExportResult> {
  const { compression = "keep" } = options;
  if (!["keep", "none", "gzip", "zstd"].includes(compression))
    throw new TypeError(`compression ${JSON.stringify(compression)} is none of keep, none, gzip, zstd`);
  return exporterOf(image)(destination, options);
}
