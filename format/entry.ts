declare const brand: unique symbol;
/** A string whose every character is one byte (latin1). Never show it to a person: see `showBytes` in src/bytes.ts. */
export type ByteString = string & { readonly [brand]: "ByteString" };

/**
 * One entry of a sidecar (sidecar.md, section 3). Paths, names, targets and xattrs are *byte strings*: each character (U+0000 to
 * U+00FF) stands for one byte, so comparing and sorting work on bytes.
 */
export interface SidecarEntry {
  /** Full path without leading or trailing slash; "" is the root. */
  readonly path: string;
  /** st_mode with its type bits. The type is 0 for a whiteout and for a shadowed entry that is not a file system object. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Sorted by name. Names are unique. */
  readonly xattrs: readonly Xattr[];
  /** Whole seconds since 1970, rounded down: negative before. */
  readonly mtime: number;
  /** 0 to 999,999,999, counted forward from `mtime`. */
  readonly mtimeNs: number;
  /** Bytes of the unpacked file, holes included; 0 unless it is a file, or a whiteout marker that carries data. */
  readonly size: number;
  /** Byte offset of the entry's own data in the uncompressed layer; 0 if it has none. */
  readonly offset: number;
  /** Row in the chunk table; -1 for an empty file and for anything else than a file. */
  readonly chunk: number;
  /** Sum of `Flag` bits. */
  readonly flags: number;
  /** Target of a symlink; "" for any other entry. */
  readonly target: string;
  /** Leader of the entry's hard-link group; a leader names itself. -1 if the entry is in no group. */
  readonly leader: number;
}

/** An extended attribute, with its name and value as byte strings. */
export interface Xattr {
  readonly name: ByteString;
  readonly value: ByteString;
}

export interface SidecarFlags {
  readonly whiteout: 1;
  readonly opaque: 2;
  readonly implicit: 4;
  readonly hardLink: 8;
  readonly shadowed: 16;
  readonly sparse: 32;
}

/** The bits of the `whiteout` column. */
export const Flag: SidecarFlags = { whiteout: 1, opaque: 2, implicit: 4, hardLink: 8, shadowed: 16, sparse: 32 };

export const S_IFMT = 0o170000;
export const S_IFDIR = 0o040000;
export const S_IFREG = 0o100000;
export const S_IFLNK = 0o120000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;
export const S_IFIFO = 0o010000;
export const S_IFSOCK = 0o140000;

/** True for a valid component of a live entry's path: a name that a directory on Linux can hold. */
export function isName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0");
}

/** True for a valid path of a live entry: "", or names joined by single slashes. */
export function isPath(path: string): boolean {
  if (path === "") return true;
  let start = 0;
  for (let at = path.indexOf("/"); at !== -1; at = path.indexOf("/", start)) {
    if (!isName(path.slice(start, at))) return false;
    start = at + 1;
  }
  return isName(path.slice(start));
}

export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash === -1 ? "" : path.slice(0, slash);
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Orders the live entries of an indexed sidecar: by the bytes of the directory's full path, then of the name. The root comes first. */
export function comparePaths(a: string, b: string): number {
  if (a === "" || b === "") return a.length - b.length;
  return compareBytes(parentOf(a), parentOf(b)) || compareBytes(nameOf(a), nameOf(b));
}

export function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
