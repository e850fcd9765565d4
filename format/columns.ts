/** Bytes that one checksum covers, and that a paged reader reads at a time. */
export const BLOCK = 65_536;

/** A sidecar is shorter than this, so that every position in it is a u32. */
export const MAX_LENGTH: number = 2 ** 32;

/** A path, a name or a target has at most this many bytes; an xattr set at most this. */
export const MAX_PATH: number = 2 ** 20;
export const MAX_XATTR_SET: number = 2 ** 24;

/** No row of a table: the `chunk` column's "none". */
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

/** Bytes of a row in each table whose rows have one width, the tables that count entries aside. */
export const MODE_ROW = 24;
export const CHUNK_ROW = 32;
export const HARD_LINK_ROW = 8;

declare const brand: unique symbol;
/** SHA-256 of the content of one whole file: 32 bytes. */
export type ChunkId = Uint8Array & { readonly [brand]: "ChunkId" };
/** A chunk id as 64 lower-case hex digits. */
export type ChunkHex = string & { readonly [brand]: "ChunkHex" };

/** Bytes of the file that hold the content of one bin. */
export interface Span {
  readonly start: number;
  readonly length: number;
}
