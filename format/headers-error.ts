/** Kept headers that break the rules of headers.md, by damage or by intent. */
export class HeadersError extends Error {
  /** Byte offset: in the file, or in the decompressed operations. */
  readonly offset: number;
  readonly within: "file" | "operations";

  constructor(message: string, offset: number, within: "file" | "operations", options?: { cause?: unknown }) {
    super(message, options);
    this.name = "HeadersError";
    this.offset = offset;
    this.within = within;
  }
}
