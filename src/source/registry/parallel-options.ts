/** Whether and when one blob is fetched by several requests at a time; apart from what does it, which a cached pull need not load. */
export interface ParallelRanges {
  /** Requests at a time for one blob: 2 to 8. Each holds up to 8 MiB of memory. */
  readonly count: number;
  /** Blobs, or rests of blobs, with fewer bytes come by one request. Default 64 MiB. */
  readonly minBytes?: number | undefined;
}

const MAX_COUNT = 8;

/** @throws RangeError */
export function checkParallelRanges({ count, minBytes = 0 }: ParallelRanges): void {
  if (Number.isInteger(count) && count >= 2 && count <= MAX_COUNT && Number.isSafeInteger(minBytes) && minBytes >= 0) return;
  throw new RangeError(
    `\`parallelRanges\` is { count: ${count}, minBytes: ${minBytes} }; expected a count of 2 to ${MAX_COUNT} and a number of bytes`,
  );
}
