/**
 * What a sidecar says of one entry. Paths, names, targets and xattrs are *byte strings*: one character (U+0000 to U+00FF)
 * a byte, so that comparison and sorting are those of the bytes.
 */
export interface SidecarEntry {
  /** Full path without leading or trailing slash; "" is the root. */
  readonly path: string;
  /** st_mode with its type bits; the type is 0 for a whiteout and for a shadowed entry that is no file system object. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  /** Sorted by name, no name twice. */
  readonly xattrs: readonly SidecarXattr[];
  /** Whole seconds since 1970, rounded down: negative before. */
  readonly mtime: number;
  /** 0 to 999,999,999, counted forward from `mtime`. */
  readonly mtimeNs: number;
  /** Bytes of the unpacked file, holes included; 0 unless it is a file, or a whiteout marker that carries data. */
  readonly size: number;
  /** Where the entry's own data begins in the uncompressed layer; 0 when it has none. */
  readonly offset: number;
  /** Row in the chunk table, or -1: not a file, or empty. */
  readonly chunk: number;
  /** Sum of `Flag` bits. */
  readonly flags: number;
  /** Target of a symlink; "" for all else. */
  readonly target: string;
  /** For a member of a hard-link group: the entry that leads it (a leader names itself). Otherwise -1. */
  readonly leader: number;
}

export interface SidecarXattr {
  readonly name: string;
  readonly value: string;
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

/** One component of a live entry's path: what can be a directory entry on Linux. */
export function isName(name: string): boolean {
  return name !== "" && name !== "." && name !== ".." && !name.includes("/") && !name.includes("\0");
}

/** A live entry's path: "" or names joined by single slashes. */
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

/** The order of live entries in an indexed sidecar: by the bytes of the directory's full path, then of the name. The root is first. */
export function comparePaths(a: string, b: string): number {
  if (a === "" || b === "") return a.length - b.length;
  return compareBytes(parentOf(a), parentOf(b)) || compareBytes(nameOf(a), nameOf(b));
}

export function compareBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
