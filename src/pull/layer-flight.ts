/** One layer that a pull of this process is fetching, for the other pulls of the process that wait for it. */
import type { LockRecord } from "./lock-record.ts";
import { untilSettled } from "./until-settled.ts";

export class LayerFlight {
  readonly #watchers = new Set<(record: LockRecord) => void>();
  #work: Promise<unknown> = Promise.resolve();

  /** Runs the work that others wait for. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const running = work();
    this.#work = running;
    return running;
  }

  /** Reports progress to all waiters. */
  report(record: LockRecord): void {
    for (const watch of this.#watchers) watch(record);
  }

  /** Resolves when the work has ended, successfully or not; `watch` gets its progress until then. @throws the signal's reason */
  async wait(signal: AbortSignal, watch: (record: LockRecord) => void): Promise<void> {
    this.#watchers.add(watch);
    try {
      await untilSettled(this.#work, signal);
    } finally {
      this.#watchers.delete(watch);
    }
  }
}
