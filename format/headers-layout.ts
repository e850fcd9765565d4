/** The first bytes of a headers file. The 32 bytes of the diff ID follow. */
export const HEADERS_MAGIC = "shale headers/1\n";

/** Most decompressed bytes of one frame. */
export const MAX_FRAME: number = 2 ** 22;

interface Ops {
  readonly literal: 0;
  readonly data: 1;
  readonly extent: 2;
  readonly endData: 3;
}

/** The two low bits of an operation's varint. */
export const Op: Ops = { literal: 0, data: 1, extent: 2, endData: 3 };

/** One step of rebuilding a layer. */
export type HeadersOp =
  /** These bytes. One literal may come in several pieces. */
  | { readonly kind: "literal"; readonly bytes: Buffer }
  /** The whole content of the next data entry. */
  | { readonly kind: "data" }
  /** This range of the current data entry's content. */
  | { readonly kind: "extent"; readonly offset: number; readonly length: number }
  /** Ends the current data entry. The next entry becomes current. */
  | { readonly kind: "end-data" };

/** Thrown for a headers file that breaks headers.md, whether it is damaged or hostile. */
export class HeadersError extends Error {
  /** Byte offset in the file or in the decompressed operations, as `within` says. */
  readonly offset: number;
  readonly within: "file" | "operations";

  constructor(message: string, offset: number, within: "file" | "operations", options?: { cause?: unknown }) {
    super(message, options);
    this.name = "HeadersError";
    this.offset = offset;
    this.within = within;
  }
}
