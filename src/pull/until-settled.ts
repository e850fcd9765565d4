/** Resolves when another's work has ended, whatever came of it: its failure is not ours, and whoever waits tries itself. @throws the signal's reason */
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
