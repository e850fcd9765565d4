import type { Descriptor } from "../image/descriptor.ts";
import type { BlobOptions } from "./source.ts";

/** The bytes from `start` to `end` (exclusive). */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** The range of a blob that the options ask for. @throws RangeError if it is not within the blob */
export function requestedRange({ size }: Descriptor, { offset = 0, length }: BlobOptions): ByteRange {
  const end = length === undefined ? size : offset + length;
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(end) || offset < 0 || end < offset || end > size) {
    throw new RangeError(`bytes ${offset} to ${end} are not within a blob of ${size} bytes`);
  }
  return { start: offset, end };
}
