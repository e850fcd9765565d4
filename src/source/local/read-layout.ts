/** Reads an image layout: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md */
import { ShaleError } from "../../errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { digestAlgorithm, digestHex, type BlobDigest } from "../../image/digest.ts";
import { MAX_MANIFEST_BYTES, JsonObject, parseJson, quote, type Fail } from "../../image/document.ts";
import { parseManifestDocument } from "../../image/manifest.ts";
import { isManifestMediaType } from "../../image/media-type.ts";
import { requestedRange } from "../byte-range.ts";
import { readSmallFile, sourceInvalid, type LayoutFile, type LayoutFiles } from "./layout-files.ts";
import { manifestTooLarge, verifyManifest } from "../verify-manifest.ts";
import type { BlobOptions, ManifestDocument } from "../source.ts";

export const TAG = "org.opencontainers.image.ref.name";
const READ_BYTES = 256 * 1024;
const MAX_LISTED = 32;

/** Which image of a layout is read. `isNamed` replaces the comparison of tags. */
export interface LayoutQuery {
  readonly reference: string;
  readonly tag?: string | undefined;
  readonly digest?: BlobDigest | undefined;
  readonly isNamed?: ((descriptor: Descriptor) => boolean) | undefined;
}

/** The verified document that the query names. @throws SOURCE_INVALID, IMAGE_NOT_FOUND, BLOB_NOT_FOUND, MANIFEST_*, DIGEST_MISMATCH, SIZE_MISMATCH */
export async function resolveInLayout(files: LayoutFiles, query: LayoutQuery): Promise<ManifestDocument> {
  await checkVersion(files);
  if (query.digest !== undefined) return readByDigest(files, query.digest);
  const bytes = await required(files, "index.json");
  const document = parseManifestDocument(bytes);
  if (document.kind !== "index") throw sourceInvalid(files.where, ': "index.json" is not an image index');
  return readLayoutManifest(files, chooseTagged(document.manifests, files, query));
}

/** The manifest or image index with this digest, also if index.json does not list it. */
async function readByDigest(files: LayoutFiles, digest: BlobDigest): Promise<ManifestDocument> {
  const bytes = await readSmallFile(files, blobName(digest));
  if (bytes === undefined) throw blobMissing(digest);
  verifyManifest(bytes, { digest, size: bytes.length });
  return { bytes, descriptor: { mediaType: parseManifestDocument(bytes).mediaType, digest, size: bytes.length } };
}

export async function readLayoutManifest(files: LayoutFiles, descriptor: Descriptor): Promise<ManifestDocument> {
  if (descriptor.size > MAX_MANIFEST_BYTES) throw manifestTooLarge(quote(files.where));
  const bytes = await readSmallFile(files, blobName(descriptor.digest));
  if (bytes === undefined) throw blobMissing(descriptor.digest);
  verifyManifest(bytes, descriptor);
  parseManifestDocument(bytes, descriptor.mediaType);
  return { bytes, descriptor };
}

export async function* readLayoutBlob(
  files: LayoutFiles,
  descriptor: Descriptor,
  options: BlobOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  options.signal?.throwIfAborted();
  await using file = await files.open(blobName(descriptor.digest));
  if (!file) throw blobMissing(descriptor.digest);
  yield* readBlobFile(file, descriptor, options);
}

/** Implements `Source.readBlob` for a file. */
export async function* readBlobFile(
  file: LayoutFile,
  descriptor: Descriptor,
  options: BlobOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { start, end } = requestedRange(descriptor, options);
  if (file.size !== descriptor.size) throw sizeMismatch(descriptor, file.size);
  for (let at = start; at < end;) {
    options.signal?.throwIfAborted();
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - at));
    const bytesRead = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw sizeMismatch(descriptor, at);
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function checkVersion(files: LayoutFiles): Promise<void> {
  const fail: Fail = (problem, cause) => sourceInvalid(files.where, `: "oci-layout" ${problem}`, cause);
  const bytes = await required(files, "oci-layout");
  const version = new JsonObject(parseJson(bytes, fail), "document", fail).requiredString("imageLayoutVersion");
  if (!/^1\.[0-9]+\.[0-9]+$/.test(version)) throw fail(`has the version ${quote(version)}; only 1.x.y is supported`);
}

async function required(files: LayoutFiles, name: string): Promise<Buffer> {
  const bytes = await readSmallFile(files, name);
  if (bytes === undefined) throw sourceInvalid(files.where, `has no ${quote(name)}; it is not an OCI image layout`);
  return bytes;
}

/** The manifest with the tag; without a tag, the only manifest. */
function chooseTagged(manifests: readonly Descriptor[], files: LayoutFiles, { reference, tag, isNamed }: LayoutQuery): Descriptor {
  const images = manifests.filter(({ mediaType }) => isManifestMediaType(mediaType));
  const has = isNamed ?? (({ annotations }: Descriptor) => annotations?.[TAG] === tag);
  const named = tag === undefined ? images : images.filter(has);
  const [first, ...others] = named;
  if (first !== undefined && others.every(({ digest }) => digest === first.digest)) return first;
  const tags = images.flatMap(({ annotations }) => annotations?.[TAG] ?? []);
  const one = tag === undefined ? "exactly one image" : `${first === undefined ? "" : "a single image with "}the tag ${quote(tag)}`;
  throw imageNotFound(reference, `${quote(files.where)} does not have ${one}`, { count: images.length, tags });
}

/** The error has the problem and lists the tags that exist. */
export function imageNotFound(
  reference: string,
  problem: string,
  { count, tags }: { readonly count: number; readonly tags: readonly string[] },
): ShaleError<"IMAGE_NOT_FOUND"> {
  const shown = tags.slice(0, MAX_LISTED).map((text) => quote(text));
  const has = shown.length === 0 ? `${count} images without tags` : `the tags ${shown.join(", ")}`;
  return new ShaleError("IMAGE_NOT_FOUND", `${problem}; it has ${has}`, { reference });
}

/** Only parsed digests become part of a path, never other text of a document. */
function blobName(digest: BlobDigest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

export function blobMissing(digest: BlobDigest): ShaleError<"BLOB_NOT_FOUND"> {
  const message = `the image layout or archive does not have blob ${digest}; copy the image again`;
  return new ShaleError("BLOB_NOT_FOUND", message, { digest });
}

function sizeMismatch({ digest, size }: Descriptor, actual: number): ShaleError<"SIZE_MISMATCH"> {
  const message = `blob ${digest} of the image layout or archive has ${actual} bytes, but its manifest says ${size}; copy the image again`;
  return new ShaleError("SIZE_MISMATCH", message, { what: "blob", digest, expected: size, actual });
}
