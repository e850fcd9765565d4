/** One line on a terminal that is written over, at most ten times a second; nothing anywhere else. */
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

  /** ASCII; cut where the terminal ends. */
  show(text: string): void {
    const now = performance.now();
    if (!this.#live || now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    this.#shown = true;
    const { stderr } = this.#context;
    stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns || 80) - 1)}`);
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#shown) this.#context.stderr.write("\r\x1b[K");
    this.#shown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
