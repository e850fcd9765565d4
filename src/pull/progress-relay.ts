/** Between the work and the caller's sink: coalesces counts, swallows what the sink throws, and keeps the promise of terminal events. */
import { ShaleError } from "../errors.ts";
import type { FailureCode, LayerProgress, ProgressEvent, ProgressSink } from "./progress.ts";

/** Counts of one kind and layer are told at most this often (ms); the last one is always in a terminal event. */
const INTERVAL_MS = 100;

export class ProgressRelay {
  readonly #sink: ProgressSink | undefined;
  readonly #watch: ((event: ProgressEvent) => void) | undefined;
  readonly #last = new Map<string, number>();

  /** `watch` sees every event that is not dropped, and does not throw. */
  constructor(sink: ProgressSink | undefined, watch?: (event: ProgressEvent) => void) {
    this.#sink = sink;
    this.#watch = watch;
  }

  send(event: ProgressEvent): void {
    this.#watch?.(event);
    if (!this.#sink) return;
    try {
      this.#sink(event);
    } catch (error) {
      // progress can neither block nor fail a pull: the sink's faults are its own
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }

  /** An event with a count, dropped when one of its kind and layer was told just now. */
  advance(event: ProgressEvent & LayerProgress): void {
    if (!this.#sink && !this.#watch) return;
    const key = `${event.kind} ${event.index}`;
    const now = performance.now();
    if (now - (this.#last.get(key) ?? Number.NEGATIVE_INFINITY) < INTERVAL_MS) return;
    this.#last.set(key, now);
    this.send(event);
  }

  warn(code: string, message: string): void {
    this.send({ kind: "warning", code, message });
  }

  /** How an error is told in an event. */
  static describe(error: unknown): { code: FailureCode; message: string } {
    if (ShaleError.is(error)) return { code: error.code, message: error.message };
    if (error instanceof Error) return { code: error.name === "AbortError" ? "ABORTED" : "ERROR", message: error.message };
    return { code: "ERROR", message: String(error) };
  }
}
