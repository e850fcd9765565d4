/** One line on a terminal, overwritten at most ten times per second; nothing without a terminal. */
import type { Context } from "../command.ts";
import type { Reporter } from "../reporter.ts";

const INTERVAL_MS = 100;

export class StatusLine {
  readonly #context: Context;
  readonly #live: boolean;
  #last = 0;
  #shown = false;

  constructor(context: Context, reporter: Reporter) {
    this.#context = context;
    this.#live = reporter.isLive;
  }

  /** `text` is ASCII; it is cut to the width of the terminal. */
  show(text: string): void {
    const now = performance.now();
    if (!this.#live || now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    this.#shown = true;
    const { stderr } = this.#context;
    stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns || 80) - 1)}`);
  }

  /** Call this before anything else is written. */
  clear(): void {
    if (this.#shown) this.#context.stderr.write("\r\x1b[K");
    this.#shown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
