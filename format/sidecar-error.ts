/** A sidecar that breaks the rules of sidecar.md, by damage or by intent. A reader that meets one reads nothing further from it. */
export class SidecarError extends Error {
  /** Byte offset in the file where the rule is broken, or where the bytes that break it begin. */
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.name = "SidecarError";
    this.offset = offset;
  }
}
