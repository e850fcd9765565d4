/** Thrown for a sidecar that breaks sidecar.md, whether it is damaged or hostile. Do not use the sidecar any further. */
export class SidecarError extends Error {
  /** Byte offset in the file of the value that breaks the rule. */
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
