/** Passes a pull's events to the caller's sink: drops excess counts, and turns exceptions of the sink into process warnings. */
import { isError, messageOf, ShaleError } from "../errors.ts";
import type { SourceEvent } from "../source/source.ts";
import { notifyUser } from "../system/user-callback.ts";
import type { FailureCode, LayerProgress, ProgressEvent, ProgressSink } from "./progress.ts";

/** Minimum ms between two counts of one kind and layer; the final count is always in a terminal event. */
const INTERVAL_MS = 100;

export class ProgressRelay {
  readonly #sink: ProgressSink | undefined;
  readonly #watch: ((event: ProgressEvent) => void) | undefined;
  readonly #last = new Map<string, number>();

  /** `watch` gets the same events, and does not throw. */
  constructor(sink: ProgressSink | undefined, watch?: (event: ProgressEvent) => void) {
    this.#sink = sink;
    this.#watch = watch;
  }

  send(event: ProgressEvent): void {
    this.#watch?.(event);
    const sink = this.#sink;
    if (sink) notifyUser("onProgress", () => sink(event));
  }

  /** Sends an event with a count, unless one of its kind and layer was sent within the interval. */
  advance(event: ProgressEvent & LayerProgress): void {
    if (!this.#sink && !this.#watch) return;
    const key = `${event.kind} ${event.index}`;
    const now = performance.now();
    if (now - (this.#last.get(key) ?? Number.NEGATIVE_INFINITY) < INTERVAL_MS) return;
    this.#last.set(key, now);
    this.send(event);
  }

  readonly warn = (code: string, message: string): void => this.send({ kind: "warning", code, message });

  /** Reports retries of manifest and config requests as warnings, since they belong to no layer. */
  readonly warnOfRetry = (event: SourceEvent): void => {
    if (event.kind !== "retrying") return;
    const { code, message, delayMs } = event;
    this.warn(code, `${message}; retrying ${delayMs < 50 ? "at once" : `in ${(delayMs / 1000).toFixed(1)} s`}`);
  };

  /** Code and message of an error, for an event. */
  static describe(error: unknown): { code: FailureCode; message: string } {
    if (ShaleError.is(error)) return { code: error.code, message: error.message };
    return { code: isError(error) && error.name === "AbortError" ? "ABORTED" : "ERROR", message: messageOf(error) };
  }
}
