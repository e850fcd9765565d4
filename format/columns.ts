/** Number of bytes that one checksum covers. A reader reads one such block at a time. */
export const BLOCK = 65_536;

/** A sidecar has fewer bytes than this, so every position in it fits a u32. */
export const MAX_LENGTH: number = 2 ** 32;

/** Most bytes of a path, name or link target, and of an xattr set. */
export const MAX_PATH: number = 2 ** 20;
export const MAX_XATTR_SET: number = 2 ** 24;

/** The value of the `chunk` column for an entry without a chunk. */
export const NO_ROW = 0xffff_ffff;

export type ColumnName =
  | "path"
  | "pathEnd"
  | "dirPath"
  | "dirPathEnd"
  | "dirFirst"
  | "offset"
  | "size"
  | "mode"
  | "mtime"
  | "mtimeNs"
  | "whiteout"
  | "link"
  | "chunk"
  | "order"
  | "modeTable"
  | "xattrs"
  | "xattrsEnd"
  | "linkPath"
  | "linkPathEnd"
  | "hardLinks"
  | "chunks";

/** The columns and tables, in the order of the file. */
export const COLUMNS: readonly ColumnName[] = [
  "path",
  "pathEnd",
  "dirPath",
  "dirPathEnd",
  "dirFirst",
  "offset",
  "size",
  "mode",
  "mtime",
  "mtimeNs",
  "whiteout",
  "link",
  "chunk",
  "order",
  "modeTable",
  "xattrs",
  "xattrsEnd",
  "linkPath",
  "linkPathEnd",
  "hardLinks",
  "chunks",
];

/** Bytes per row of the tables whose rows have a fixed width. */
export const MODE_ROW = 24;
export const CHUNK_ROW = 32;
export const HARD_LINK_ROW = 8;

declare const brand: unique symbol;
/** SHA-256 of the content of one whole file: 32 bytes. */
export type ChunkId = Uint8Array & { readonly [brand]: "ChunkId" };
/** A chunk id as 64 lower-case hex digits. */
export type ChunkHex = string & { readonly [brand]: "ChunkHex" };

/** Position and length, in bytes, of the content of one bin. */
export interface Span {
  readonly start: number;
  readonly length: number;
}
