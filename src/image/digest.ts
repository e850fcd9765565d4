/**
 * Digests as the OCI image specification writes them (`sha256:<64 hex>`, `sha512:<128 hex>`). Each kind has its own type, so that the
 * compiler refuses to swap a blob digest and a diff ID. The only casts are in the parsers here.
 */
import { ShaleError, type ErrorDetails } from "../errors.ts";

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** Digest of the bytes a registry serves: a manifest, a config, or a (compressed) layer. */
export type BlobDigest = Branded<"BlobDigest">;
/** Digest of an uncompressed layer: the identity of a layer in the store. Always sha256. */
export type DiffId = Branded<"DiffId">;

const GRAMMAR: RegExp = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const SHA256: RegExp = /^sha256:[0-9a-f]{64}$/;

/** @throws DIGEST_INVALID unless the text is a sha256 or sha512 digest in canonical form */
export function parseBlobDigest(text: unknown): BlobDigest {
  if (typeof text === "string" && GRAMMAR.test(text)) return text as BlobDigest;
  throw invalid(text, "a sha256 or sha512 digest in lower-case hex");
}

/** @throws DIGEST_INVALID unless the text is a sha256 digest in canonical form */
export function parseDiffId(text: unknown): DiffId {
  if (typeof text === "string" && SHA256.test(text)) return text as DiffId;
  throw invalid(text, "sha256: and 64 lower-case hex digits");
}

/** The name of the hash function for node:crypto. */
export function digestAlgorithm(digest: BlobDigest | DiffId): "sha256" | "sha512" {
  return digest.startsWith("sha256:") ? "sha256" : "sha512";
}

/** The hex digits without the algorithm. */
export function digestHex(digest: BlobDigest | DiffId): string {
  return digest.slice(7);
}

/** The digest as a file name of the store: `sha256-<hex>`; a colon would break overlay options. */
export function digestFileName(digest: BlobDigest | DiffId): string {
  return `${digest.slice(0, 6)}-${digest.slice(7)}`;
}

export interface DigestMismatch {
  readonly what: ErrorDetails["DIGEST_MISMATCH"]["what"];
  readonly expected: string;
  readonly actual: string;
  /** Names the thing in the message; default: `what`. */
  readonly subject?: string;
  /** The likely reason, and what the user can do. */
  readonly advice: string;
  readonly cause?: unknown;
}

/** The error for content whose digest is not the expected one. */
export function digestMismatch(mismatch: DigestMismatch): ShaleError<"DIGEST_MISMATCH"> {
  const { what, expected, actual, advice, subject = `the ${what}`, cause } = mismatch;
  const message = `${subject} has the digest ${actual}, expected ${expected}; ${advice}`;
  return new ShaleError("DIGEST_MISMATCH", message, { what, expected, actual }, cause === undefined ? undefined : { cause });
}

/** @throws DIGEST_MISMATCH unless both digests of a layer's blob, or of its content, are equal */
export function checkLayerDigest(what: "blob" | "diff ID", expected: string, actual: string): void {
  if (expected === actual) return;
  const subject = what === "blob" ? "the blob of a layer" : "an unpacked layer";
  const advice = "the image or the connection is damaged, pull again or ask who made the image";
  throw digestMismatch({ what, expected, actual, subject, advice });
}

function invalid(text: unknown, wanted: string): ShaleError<"DIGEST_INVALID"> {
  const quoted = JSON.stringify(String(text).slice(0, 160));
  return new ShaleError("DIGEST_INVALID", `digest ${quoted} is malformed; expected ${wanted}`, { digest: String(text).slice(0, 160) });
}
