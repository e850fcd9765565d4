/** Exports an image of the store for other tools: as an OCI image layout or an archive. */
import type { ExportImageOptions, ExportResult } from "../export/export-image.ts";
import { checkArgument, checkOptions, isWritable, isOneOf, isSignal, isText } from "./check-options.ts";
import { Image } from "./image.ts";

/**
 * Writes an image to `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME]`; the file `-` is a stream. Layers are rebuilt
 * byte for byte, so the diff IDs and the config stay the same. The manifest stays if every blob does; otherwise a new one is written. A new
 * directory or file appears when it is complete, and replaces an existing file then. An existing layout gets the image in addition to its
 * others; an image of the same tag is replaced. A failure or an abort leaves the destination as it was.
 * @throws REFERENCE_INVALID, DESTINATION_UNUSABLE, NO_SPACE, NOT_CACHED, STORE_DAMAGED, SIDECAR_INVALID, DIGEST_MISMATCH, STORE_CLOSED,
 * TypeError, RangeError
 */
export async function exportImage(image: Image, destination: string, options: ExportImageOptions = {}): Promise<ExportResult> {
  checkArgument("exportImage", "destination", destination, isText);
  checkOptions("exportImage", options, { compression: isOneOf("keep", "none", "gzip", "zstd"), output: isWritable, signal: isSignal });
  const { session, pulled } = Image.internals(image);
  return session.run(options.signal, async (signal) => {
    const { writeExport } = await import("../export/export-image.ts");
    return writeExport({ store: await session.whole(), record: pulled.record, name: pulled.name }, destination, { ...options, signal });
  });
}
