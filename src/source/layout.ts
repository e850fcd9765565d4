/** Images from an OCI image layout: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
import type { Descriptor } from "../image/descriptor.ts";
import { digestAlgorithm, digestHex, type BlobDigest } from "../image/digest.ts";
import { JsonObject, parseJson, quote, type Fail } from "../image/document.ts";
import { MAX_MANIFEST_BYTES, parseManifestDocument } from "../image/manifest.ts";
import { isManifestMediaType } from "../image/media-type.ts";
import { formatReference, type LayoutReference, type Reference } from "../image/reference.ts";
import { wantedRange } from "./blob-stream.ts";
import { tooLarge, verifyDocument } from "./manifest-bytes.ts";
import type { BlobOptions, ManifestDocument, Source, SourceOptions } from "./source.ts";

const TAG = "org.opencontainers.image.ref.name";
const READ_BYTES = 256 * 1024;
const MAX_LISTED = 32;

/** Holds nothing open between calls. The directory is a stranger's: files are opened by digest, without following links. */
export class LayoutSource implements Source {
  async resolve(reference: Reference, options: SourceOptions = {}): Promise<ManifestDocument> {
    const layout = layoutReference(reference);
    options.signal?.throwIfAborted();
    await checkVersion(layout.directory);
    const path = join(layout.directory, "index.json");
    const bytes = await readSmallFile(path);
    const document = parseManifestDocument(bytes);
    if (document.kind !== "index") throw invalid(path, "is no image index");
    return this.readManifest(reference, chooseTagged(document.manifests, layout), options);
  }

  async readManifest(reference: Reference, descriptor: Descriptor, options: SourceOptions = {}): Promise<ManifestDocument> {
    const { directory } = layoutReference(reference);
    options.signal?.throwIfAborted();
    if (descriptor.size > MAX_MANIFEST_BYTES) throw tooLarge(directory);
    const path = blobPath(directory, descriptor);
    const bytes = await missingBlob(descriptor, () => readSmallFile(path));
    verifyDocument(bytes, descriptor);
    parseManifestDocument(bytes, descriptor.mediaType);
    return { bytes, descriptor };
  }

  async resolveDigest(reference: Reference, options: SourceOptions = {}): Promise<BlobDigest> {
    return (await this.resolve(reference, options)).descriptor.digest;
  }

  async *readBlob(reference: Reference, descriptor: Descriptor, options: BlobOptions = {}): AsyncGenerator<Uint8Array> {
    const { directory } = layoutReference(reference);
    const { start, end } = wantedRange(descriptor, options);
    options.signal?.throwIfAborted();
    const path = blobPath(directory, descriptor);
    await using file = await missingBlob(descriptor, () => openRegular(path));
    const { size } = await file.stat();
    if (size !== descriptor.size) throw sizeMismatch(descriptor, size);
    for (let at = start; at < end;) {
      options.signal?.throwIfAborted();
      const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - at));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw sizeMismatch(descriptor, at);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async close(): Promise<void> {}
}

function layoutReference(reference: Reference): LayoutReference {
  if (reference.transport === "oci") return reference;
  throw new TypeError(`an image layout cannot read "${formatReference(reference)}"`);
}

async function checkVersion(directory: string): Promise<void> {
  const path = join(directory, "oci-layout");
  const fail: Fail = (problem, cause) => invalid(path, problem, cause);
  const bytes = await readSmallFile(path);
  const version = new JsonObject(parseJson(bytes, fail), "document", fail).requiredString("imageLayoutVersion");
  if (!/^1\.[0-9]+\.[0-9]+$/.test(version)) throw invalid(path, `has the version ${quote(version)}; 1.0.0 is supported`);
}

/** The manifest with this tag; without a tag the only one. */
function chooseTagged(manifests: readonly Descriptor[], reference: LayoutReference): Descriptor {
  const { tag } = reference;
  const images = manifests.filter(({ mediaType }) => isManifestMediaType(mediaType));
  const named = tag === undefined ? images : images.filter(({ annotations }) => annotations?.[TAG] === tag);
  const [first, ...others] = named;
  if (first !== undefined && others.every(({ digest }) => digest === first.digest)) return first;
  const tags = images.flatMap(({ annotations }) => annotations?.[TAG] ?? []).slice(0, MAX_LISTED);
  const has = tags.length === 0 ? `${images.length} images, none with a tag` : `the tags ${tags.map((text) => quote(text)).join(", ")}`;
  const wish =
    tag === undefined ? "exactly one image" : first === undefined ? `the tag ${quote(tag)}` : `a single image with the tag ${quote(tag)}`;
  throw new ShaleError("IMAGE_NOT_FOUND", `image layout ${quote(reference.directory)} does not have ${wish}; it has ${has}`, {
    reference: formatReference(reference),
  });
}

/** From a parsed digest only: nothing else of a document ever becomes part of a path. */
function blobPath(directory: string, { digest }: Descriptor): string {
  return join(directory, "blobs", digestAlgorithm(digest), digestHex(digest));
}

async function readSmallFile(path: string): Promise<Buffer> {
  await using file = await openRegular(path);
  const buffer = Buffer.allocUnsafe(MAX_MANIFEST_BYTES + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
    length += bytesRead;
    if (length > MAX_MANIFEST_BYTES) throw tooLarge(path);
    if (bytesRead === 0) return Buffer.from(buffer.subarray(0, length));
  }
}

/** O_NONBLOCK: a FIFO in place of a file would block its opener for ever. */
async function openRegular(path: string): Promise<FileHandle> {
  const file = await openOrExplain(path);
  const stat = await file.stat();
  if (stat.isFile()) return file;
  await file.close();
  throw invalid(path, "is not a regular file");
}

async function openOrExplain(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) throw invalid(path, "does not exist; is this an OCI image layout?", error);
    if (isErrno(error, "ELOOP", "ENXIO")) throw invalid(path, "is not a regular file", error);
    throw invalid(path, "cannot be opened", error);
  }
}

async function missingBlob<T>(descriptor: Descriptor, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!ShaleError.is(error, "SOURCE_INVALID") || !isErrno(error.cause, "ENOENT", "ENOTDIR")) throw error;
    const message = `the image layout does not have blob ${descriptor.digest}; copy the image again`;
    throw new ShaleError("BLOB_NOT_FOUND", message, { digest: descriptor.digest }, { cause: error });
  }
}

function sizeMismatch({ digest, size }: Descriptor, actual: number): ShaleError<"SIZE_MISMATCH"> {
  const message = `blob ${digest} of the image layout has ${actual} bytes, and its manifest says ${size}`;
  return new ShaleError("SIZE_MISMATCH", message, { what: "blob", digest, expected: size, actual });
}

function invalid(path: string, problem: string, cause?: unknown): ShaleError<"SOURCE_INVALID"> {
  return new ShaleError("SOURCE_INVALID", `${quote(path)} ${problem}`, { path }, cause === undefined ? undefined : { cause });
}
