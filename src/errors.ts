/**
 * The error class of this library and all its codes. Codes are stable within a major version; messages are not.
 * A mistake of the caller, such as a wrong type or option, throws a TypeError or RangeError without a code.
 */

/** The limit that was exceeded: its name in `Limits`, and its value. */
export interface LimitDetail {
  readonly limit: string;
  readonly maximum: number;
}

/** The data of each code, for programs. Sizes are in bytes. */
export interface ErrorDetails {
  // references, documents and digests
  REFERENCE_INVALID: { reference: string };
  DIGEST_INVALID: { digest: string };
  DIGEST_MISMATCH: { what: "manifest" | "config" | "blob" | "diff ID"; expected: string; actual: string };
  SIZE_MISMATCH: { what: "manifest" | "config" | "blob"; digest: string; expected: number; actual: number };
  MANIFEST_INVALID: { digest?: string };
  MANIFEST_UNSUPPORTED: { mediaType: string };
  MANIFEST_TOO_LARGE: { limit: number };
  CONFIG_INVALID: { digest?: string };
  PLATFORM_INVALID: { platform: string };
  PLATFORM_NOT_FOUND: { platform: string; available: readonly string[] };
  LAYER_UNSUPPORTED: { mediaType: string };
  // sources
  IMAGE_NOT_FOUND: { reference: string };
  BLOB_NOT_FOUND: { digest: string };
  SOURCE_INVALID: { path: string };
  REGISTRY_UNREACHABLE: { host: string };
  REGISTRY_UNAUTHORIZED: { host: string };
  REGISTRY_DENIED: { host: string };
  REGISTRY_ERROR: { host: string; status: number };
  CREDENTIAL_HELPER_FAILED: { helper: string };
  CONFIGURATION_INVALID: { path: string };
  // layers
  LAYER_CORRUPT: { digest?: string };
  TAR_INVALID: { offset: number; entry?: string };
  TAR_UNSUPPORTED: { offset: number; entry?: string };
  // limits: `limit` is the option's name
  LIMIT_BLOB_BYTES: LimitDetail;
  LIMIT_CONFIG_BYTES: LimitDetail;
  LIMIT_FILE_BYTES: LimitDetail;
  LIMIT_HEADER_BYTES: LimitDetail;
  LIMIT_IMAGE_BYTES: LimitDetail;
  LIMIT_IMAGE_LAYERS: LimitDetail;
  LIMIT_INDEX_DEPTH: LimitDetail;
  LIMIT_LAYER_BYTES: LimitDetail;
  LIMIT_LAYER_ENTRIES: LimitDetail;
  LIMIT_METADATA_BYTES: LimitDetail;
  LIMIT_PATH_DEPTH: LimitDetail;
  LIMIT_RATIO: LimitDetail;
  LIMIT_XATTR_BYTES: LimitDetail;
  WORKER_FAILED: { what: string };
  // the store
  NOT_CACHED: { reference: string };
  LEASE_NOT_FOUND: { name: string };
  NOT_PINNED: { reference: string };
  NOT_A_STORE: { path: string };
  STORE_VERSION: { path: string; version: number };
  STORE_FEATURE: { path: string; features: readonly string[] };
  STORE_PERMISSIONS: { path: string };
  STORE_UNWRITABLE: { path: string };
  STORE_FILESYSTEM: { path: string };
  STORE_CLOSED: { path: string };
  STORE_DAMAGED: { path: string };
  STORE_BUSY: { path: string };
  STORE_IO: { path: string; errno: string };
  NO_SPACE: { path: string };
  NO_DESCRIPTORS: { path: string };
  LOW_DISK: { path: string; needed: number; available: number };
  REFERENCE_PINNED: { reference: string; platform: string };
  SIDECAR_INVALID: { offset: number };
  PROFILE_UNSUPPORTED: { profile: string };
  UNSUPPORTED_PLATFORM: { platform: string };
  // the files of an image, and what is made from them
  PATH_NOT_FOUND: { path: string };
  PATH_WRONG_KIND: { path: string; kind: string };
  PATH_LOOP: { path: string };
  DESTINATION_UNUSABLE: { path: string };
  MODE_UNSUPPORTED: { path: string; mode: string };
  MOUNT_FAILED: { path: string };
  USER_NOT_FOUND: { user: string };
}

export type ErrorCode = keyof ErrorDetails;

const BRAND: symbol = Symbol.for("shale.ShaleError");

/**
 * A failure that a caller may want to handle. `message` says what failed, on what, and what to do next; `detail` holds the same
 * as data; `cause` is the underlying error. Options of this library stand in backticks in a message (`force`, `limits.ratio`);
 * the command line replaces them by its own names.
 */
export class ShaleError<C extends ErrorCode = ErrorCode> extends Error {
  readonly code: C;
  readonly detail: Readonly<ErrorDetails[C]>;

  constructor(code: C, message: string, detail: ErrorDetails[C], options?: { cause?: unknown }) {
    super(redact(message), options);
    this.name = "ShaleError";
    this.code = code;
    this.detail = detail;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** True for a ShaleError of any copy of this package. If `code` is given, it must match too. */
  static is<K extends ErrorCode>(error: unknown, code?: K): error is ShaleError<K> {
    if (typeof error !== "object" || error === null || !(BRAND in error)) return false;
    return code === undefined || (error as ShaleError).code === code;
  }
}

/** Reports a problem that did not stop the operation. `code` is an ErrorCode, or "ERROR" for a failure without one. */
export type Warn = (code: string, message: string) => void;

/**
 * True for an error of any realm, a DOMException included. The `instanceof` operator is false for Node's own errors in the vm contexts
 * of Jest and vitest, because those contexts have an `Error` class of their own.
 */
export function isError(value: unknown): value is Error {
  if (typeof value !== "object" || value === null || !("stack" in value && "message" in value)) return false;
  const { message: text } = value;
  return typeof text === "string";
}

/** The message of an error; the text of any other value that was thrown. Never throws. */
export function messageOf(error: unknown): string {
  if (isError(error)) return error.message;
  return typeof error === "object" && error !== null ? Object.prototype.toString.call(error) : String(error);
}

/** True for an error of the operating system in any realm, with one of these errno codes if any are given. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  if (!(isError(error) && "code" in error)) return false;
  return codes.length === 0 ? "errno" in error : codes.includes(error.code as string);
}

export function assertNever(value: never): never {
  throw new TypeError(`unexpected value ${String(value)}`);
}

/** Removes secrets from URLs: user and password, and query strings, which may be signed. */
function redact(message: string): string {
  return message.replaceAll(/(\w+:\/\/)[^\s/@"']+@/g, "$1***@").replaceAll(/(https?:\/\/[^\s?"']+)\?[^\s"']+/g, "$1?***");
}
