/** Names of tar entries: one spelling for each path, and what the names that begin with `.wh.` mean (OCI image spec, layer.md, "Whiteouts"). */
import { type ByteString, showBytes } from "../bytes.ts";
import { ShaleError } from "../errors.ts";

/** Linux: NAME_MAX, and PATH_MAX without its NUL. */
const MAX_COMPONENT = 255;
export const MAX_PATH = 4095;
const MAX_DEPTH = 1024;

export interface PathOptions {
  /** Components that a path may have. Default 1024. */
  readonly maxDepth?: number;
}

/**
 * The path of an entry as `a/b/c`: without leading, trailing and double slashes and without `.`; "" is the root. A path
 * that has this form already is returned as it is. `offset` is the entry's, for errors.
 *
 * @throws TAR_INVALID for `..`, a NUL, a component over 255 or a path over 4095 bytes; LIMIT_PATH_DEPTH for `maxDepth`.
 */
export function normalizePath(path: ByteString, offset: number, options?: PathOptions): ByteString {
  let first = -1;
  let last = -1;
  let depth = 0;
  let hasGap = false;
  for (let from = 0; from < path.length;) {
    const to = componentEnd(path, from, offset);
    if (isName(path, from, to)) {
      checkName(path, { from, to, offset });
      if (first < 0) first = from;
      else if (from !== last + 1) hasGap = true;
      last = to;
      depth++;
    }
    from = to + 1;
  }
  const maxDepth = options?.maxDepth ?? MAX_DEPTH;
  if (depth > maxDepth) throw tooDeep(path, maxDepth);
  const clean = hasGap ? joinNames(path) : first < 0 ? "" : path.slice(first, last);
  if (clean.length > MAX_PATH) throw refused(path, offset, `is longer than ${MAX_PATH} bytes`);
  return clean as ByteString;
}

/**
 * True of most names: below a directory whose path is in order, such a name makes a path that is in order too (MAX_PATH aside),
 * and it is `plain` for `classifyName`. Where it is false either may still hold.
 */
export function isOrdinaryName(name: ByteString): boolean {
  return name.length > 0 && name.length <= MAX_COMPONENT && name.charCodeAt(0) !== 0x2e && !name.includes("\0");
}

function componentEnd(path: ByteString, from: number, offset: number): number {
  for (let at = from; at < path.length; at++) {
    const code = path.charCodeAt(at);
    if (code === 0x2f) return at;
    if (code === 0) throw refused(path, offset, "contains a NUL");
  }
  return path.length;
}

/** False for what a path does not change by: nothing between two slashes, or a dot. */
function isName(path: ByteString, from: number, to: number): boolean {
  return to - from > 1 || (to - from === 1 && path.charCodeAt(from) !== 0x2e);
}

function checkName(path: ByteString, { from, to, offset }: { from: number; to: number; offset: number }): void {
  if (to - from === 2 && path.startsWith("..", from)) throw refused(path, offset, 'contains ".."');
  if (to - from > MAX_COMPONENT) throw refused(path, offset, `has a component of more than ${MAX_COMPONENT} bytes`);
}

function joinNames(path: ByteString): string {
  return path
    .split("/")
    .filter((name) => name !== "" && name !== ".")
    .join("/");
}

/** What the last component of an entry's path says. */
export type NameClass =
  | { readonly kind: "plain" }
  /** Hides `name`, a sibling, in the layers below. */
  | { readonly kind: "whiteout"; readonly name: ByteString }
  /** Hides all that the layers below have in this directory. */
  | { readonly kind: "opaque" }
  /** Bookkeeping of AUFS (`.wh..wh.plnk` and the like): neither a file nor a whiteout. */
  | { readonly kind: "aufs" };

const WHITEOUT = ".wh.";
const PLAIN: NameClass = { kind: "plain" };
const OPAQUE: NameClass = { kind: "opaque" };
const AUFS: NameClass = { kind: "aufs" };

/** @throws TAR_INVALID for `.wh.`, `.wh..` and `.wh...`, which would hide the directory itself or its parent. */
export function classifyName(base: ByteString, offset: number): NameClass {
  if (!base.startsWith(WHITEOUT)) return PLAIN;
  if (base === ".wh..wh..opq") return OPAQUE;
  const name = base.slice(WHITEOUT.length) as ByteString;
  if (name.startsWith(WHITEOUT)) return AUFS;
  if (name === "" || name === "." || name === "..") throw refused(base, offset, "is a whiteout of no name");
  return { kind: "whiteout", name };
}

/** True when a directory on the way to a normalised path is named `.wh.*`: such an entry is part of no file system. */
export function isBelowWhiteout(path: ByteString): boolean {
  for (let at = path.indexOf(WHITEOUT); at >= 0; at = path.indexOf(WHITEOUT, at + 1)) {
    if (path.indexOf("/", at) < 0) return false;
    if (at === 0 || path.charCodeAt(at - 1) === 0x2f) return true;
  }
  return false;
}

function refused(path: ByteString, offset: number, problem: string): ShaleError<"TAR_INVALID"> {
  const entry = showBytes(path, 256);
  return new ShaleError("TAR_INVALID", `cannot use the tar entry "${entry}" at byte ${offset} of the layer: its path ${problem}`, {
    offset,
    entry,
  });
}

function tooDeep(path: ByteString, maximum: number): ShaleError<"LIMIT_PATH_DEPTH"> {
  const message = `cannot use the tar entry "${showBytes(path, 256)}": its path has more than the ${maximum} components allowed; raise \`limits.pathDepth\` if it is trusted`;
  return new ShaleError("LIMIT_PATH_DEPTH", message, { limit: "pathDepth", maximum });
}
