/** Resolves when `work` has ended, even if it failed: its failure concerns only its owner. @throws the signal's reason */
export function untilSettled(work: Promise<unknown>, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal?.reason as Error);
    if (signal?.aborted) return abort();
    signal?.addEventListener("abort", abort, { once: true });
    const done = (): void => {
      signal?.removeEventListener("abort", abort);
      resolve();
    };
    work.then(done, done);
  });
}
