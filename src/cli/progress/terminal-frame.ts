/**
 * A block of lines at the end of a terminal, redrawn in place by log-update. The cursor is never hidden and stays below the block
 * after each write, so the terminal stays usable if the process dies. Only the live progress loads this file, because it loads
 * log-update.
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

  /** The space for the block. One column stays free, because some terminals wrap; and one row, or the block would scroll. */
  get size(): { readonly width: number; readonly height: number } {
    const { columns, rows } = terminalSize(this.#output);
    return { width: columns - 1, height: rows - 1 };
  }

  /**
   * Replaces the block by one write, or by none if it is unchanged. `lines` must fit `size`. `above` stays permanently above the
   * block, and needs another write.
   */
  draw(lines: readonly string[], above: readonly string[] = []): void {
    if (above.length > 0) this.#log.persist(above.join("\n"));
    // log-update draws an empty text as an empty line
    if (lines.length === 0) this.#log.clear();
    else this.#log(lines.join("\n"));
  }
}

/** The part of a stream that log-update uses. Some terminals report 0 by 0, where it would draw nothing. */
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
