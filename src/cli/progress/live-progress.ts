import type { ProgressEvent } from "../../index.ts";
import type { Output } from "../command.ts";
import { showMessage } from "../show.ts";
import { layerLines } from "./layer-lines.ts";
import { LayerStates } from "./layer-states.ts";
import type { Progress } from "./progress.ts";
import { TerminalFrame } from "./terminal-frame.ts";

const FRAME_MS = 100;

/** Progress drawn in place. Events only change the state; frames are drawn at most every `FRAME_MS`, and left out while the terminal lags. */
export class LiveProgress implements Progress {
  readonly #output: Output;
  readonly #frame: TerminalFrame;
  readonly #states: LayerStates = new LayerStates(() => performance.now());
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(output: Output) {
    this.#output = output;
    this.#frame = new TerminalFrame(output);
  }

  readonly onEvent = (event: ProgressEvent): void => {
    if (this.#stopped) return;
    this.#states.apply(event);
    if (event.kind === "warning") this.note(`warning: ${event.code}: ${showMessage(event.message)}`);
    else if (event.kind === "retrying") this.note(`layer ${event.index + 1} tries again: ${event.code}: ${showMessage(event.message)}`);
    else if (this.#states.rows.length > 0) this.#schedule();
  };

  readonly note = (line: string): void => {
    if (!this.#stopped) this.#frame.draw(this.#lines(), [line]);
  };

  readonly stop = (): void => {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#frame.draw(this.#lines());
    this.#stopped = true;
  };

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#output.writableNeedDrain === true) this.#schedule();
      else this.#frame.draw(this.#lines());
    }, FRAME_MS).unref();
  }

  #lines(): string[] {
    return layerLines(this.#states.rows, this.#frame.size);
  }
}
