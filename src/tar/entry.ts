/** What the decoder says of one tar entry, its extension headers (PAX, GNU) already applied. */
import type { ByteString, Xattr } from "../../format/entry.ts";

export type EntryKind = "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";

export interface TarEntry {
  /** `ignored`: read over, but kept byte for byte (a PAX global header, a volume label). It has no data, and no field but `path`, `start`, `data` and `end` means anything. */
  readonly kind: EntryKind | "ignored";
  /** The name as the archive has it: neither normalised nor checked. */
  readonly path: ByteString;
  /** Target of a symlink (verbatim) or hard link; empty otherwise. */
  readonly linkPath: ByteString;
  /** Permission, setuid, setgid and sticky bits: 0 to 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** At most 12 and 20 bits; 0 unless kind is char or block. */
  readonly devMajor: number;
  readonly devMinor: number;
  /** Whole seconds since 1970, floored; negative before. */
  readonly mtime: number;
  /** 0 to 999,999,999, counted forward from `mtime`. */
  readonly mtimeNs: number;
  /** Sorted by the bytes of the name, no name twice. */
  readonly xattrs: readonly Xattr[];
  /** Bytes of the file's content once unpacked (holes of a sparse file included). 0 unless kind is file. */
  readonly size: number;
  /** Where the entry's first header begins, its data begins, and the next entry begins: offsets in the buffer given. `end` may lie beyond it. */
  readonly start: number;
  readonly data: number;
  readonly end: number;
  /** Bytes of data stored in the archive, padding and sparse map excluded: `size` unless the file is sparse. The archive is cut off if it ends before `data + stored`. */
  readonly stored: number;
  /** The extents that are stored, none empty, in file order, back to back from `data`; the rest is holes. */
  readonly sparse?: readonly Extent[];
}

/** Bytes `offset` to `offset + length` of the unpacked file. */
export interface Extent {
  readonly offset: number;
  readonly length: number;
}
