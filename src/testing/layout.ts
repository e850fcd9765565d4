/** Writes an OCI image layout: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md */
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { digestHex } from "../image/digest.ts";
import { OCI_INDEX } from "../image/media-type.ts";
import { readContent } from "./blob.ts";
import { blobsOf, descriptorOf, type TestImage, type TestImageIndex } from "./image.ts";

/** Writes a layout with these images by tag to `directory`; the tag "" means no tag. */
export async function writeLayout(directory: string, images: Readonly<Record<string, TestImage | TestImageIndex>>): Promise<void> {
  const blobs = join(directory, "blobs", "sha256");
  await mkdir(blobs, { recursive: true });
  for (const blob of Object.values(images).flatMap((image) => blobsOf(image))) {
    await pipeline(readContent(blob, 0, blob.size), createWriteStream(join(blobs, digestHex(blob.digest))));
  }
  const manifests = Object.entries(images).map(([tag, { manifest }]) => ({
    ...descriptorOf(manifest),
    ...(tag !== "" && { annotations: { "org.opencontainers.image.ref.name": tag } }),
  }));
  await writeFile(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
  await writeFile(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}
