/**
 * A block of lines at the end of a terminal, drawn over again in place. Each frame is one write, lines are erased to their
 * end after they are written, and the cursor is neither hidden nor left elsewhere than below the block: nothing flickers,
 * and nothing needs to be put right when the process dies.
 */
import type { Output } from "../command.ts";

export class TerminalFrame {
  readonly #output: Output;
  #height = 0;
  #drawn = "";

  constructor(output: Output) {
    this.#output = output;
  }

  /** What fits: one column stays free, or some terminals wrap; one row, or the block scrolls. */
  get size(): { readonly width: number; readonly height: number } {
    const { columns, rows } = this.#output;
    return { width: (columns || 80) - 1, height: (rows || 24) - 1 };
  }

  /** Replaces the block. `lines` must fit `size`; `above` stays for good, over the block. */
  draw(lines: readonly string[], above: readonly string[] = []): void {
    const text = [...above, ...lines].map((line) => `${line}\x1b[K\n`).join("");
    if (text === this.#drawn) return;
    const back = this.#height === 0 ? "" : `\x1b[${this.#height}A\r`;
    // \x1b[J erases what a taller block left below
    this.#output.write(`${back}${text}\x1b[J`);
    this.#height = lines.length;
    this.#drawn = above.length > 0 ? "" : text;
  }
}
