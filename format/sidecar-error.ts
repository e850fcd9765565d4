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

export function invalid(column: string, offset: number): SidecarError {
  return new SidecarError(`read sidecar: ${column} has a value that it cannot have`, offset);
}
