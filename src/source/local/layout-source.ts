/** Reads images from an OCI image layout in a directory. */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import type { BlobDigest } from "../../image/digest.ts";
import { formatReference, type LayoutReference, type Reference } from "../../image/reference.ts";
import { handleFile, sourceInvalid, type LayoutFile, type LayoutFiles } from "./layout-files.ts";
import { readLayoutBlob, readLayoutManifest, resolveInLayout } from "./read-layout.ts";
import type { BlobOptions, ManifestDocument, Source, SourceOptions } from "../source.ts";

/** Keeps nothing open between calls. The directory is untrusted: files are opened by digest, and symlinks are not followed. */
export class LayoutSource implements Source {
  async resolve(reference: Reference, options: SourceOptions = {}): Promise<ManifestDocument> {
    const { directory, tag, digest } = layoutReference(reference);
    options.signal?.throwIfAborted();
    return resolveInLayout(filesOf(directory), { reference: formatReference(reference), tag, digest });
  }

  async readManifest(reference: Reference, descriptor: Descriptor, options: SourceOptions = {}): Promise<ManifestDocument> {
    options.signal?.throwIfAborted();
    return readLayoutManifest(filesOf(layoutReference(reference).directory), descriptor);
  }

  async resolveDigest(reference: Reference, options: SourceOptions = {}): Promise<BlobDigest> {
    return (await this.resolve(reference, options)).descriptor.digest;
  }

  async *readBlob(reference: Reference, descriptor: Descriptor, options: BlobOptions = {}): AsyncGenerator<Uint8Array> {
    yield* readLayoutBlob(filesOf(layoutReference(reference).directory), descriptor, options);
  }

  async close(): Promise<void> {}
}

function layoutReference(reference: Reference): LayoutReference {
  if (reference.transport === "oci") return reference;
  throw new TypeError(`"${formatReference(reference)}" does not name an image in an image layout`);
}

function filesOf(directory: string): LayoutFiles {
  return { where: directory, open: (name) => openRegular(join(directory, name)) };
}

/** O_NONBLOCK: opening a FIFO would block. */
async function openRegular(path: string): Promise<LayoutFile | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw sourceInvalid(path, isErrno(error, "ELOOP", "ENXIO") ? "is not a regular file" : "cannot be opened", error);
  }
  const stat = await file.stat();
  if (stat.isFile()) return handleFile(file, stat.size);
  await file.close();
  throw sourceInvalid(path, "is not a regular file");
}
