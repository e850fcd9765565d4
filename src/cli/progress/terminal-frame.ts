/**
 * A block of lines at the end of a terminal, drawn over again in place by log-update. The cursor is never hidden and stays
 * below the block after each write, so nothing needs to be put right when the process dies. Loading this file loads
 * log-update: only the live progress does.
 */
import { createLogUpdate } from "log-update";
import type { Output } from "../command.ts";

export class TerminalFrame {
  readonly #output: Output;
  readonly #log: ReturnType<typeof createLogUpdate>;

  constructor(output: Output) {
    this.#output = output;
    this.#log = createLogUpdate(asStream(output), { showCursor: true });
  }

  /** What fits: one column stays free, or some terminals wrap; one row, or the block scrolls. */
  get size(): { readonly width: number; readonly height: number } {
    const { columns, rows } = terminalSize(this.#output);
    return { width: columns - 1, height: rows - 1 };
  }

  /**
   * Replaces the block: one write, and none when the same block stands there already. `lines` must fit `size`. `above` stays
   * for good, over the block, and costs a write of its own.
   */
  draw(lines: readonly string[], above: readonly string[] = []): void {
    if (above.length > 0) this.#log.persist(above.join("\n"));
    // an empty text would be drawn as an empty line
    if (lines.length === 0) this.#log.clear();
    else this.#log(lines.join("\n"));
  }
}

/** All that log-update uses of a stream; some terminals say that they are 0 by 0, and it would draw nothing there. */
function asStream(output: Output): NodeJS.WritableStream {
  const stream = {
    isTTY: output.isTTY === true,
    get columns(): number {
      return terminalSize(output).columns;
    },
    get rows(): number {
      return terminalSize(output).rows;
    },
    write: (text: string) => output.write(text),
  };
  return stream as unknown as NodeJS.WritableStream;
}

function terminalSize({ columns, rows }: Output): { readonly columns: number; readonly rows: number } {
  return { columns: columns || 80, rows: rows || 24 };
}
