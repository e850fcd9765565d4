import type { ProgressEvent } from "../../index.ts";
import { ProgressSummary } from "../../progress.ts";
import type { Output } from "../command.ts";
import { showMessage } from "../show.ts";
import { layerLines, retryText } from "./layer-lines.ts";
import { LayerStates } from "./layer-states.ts";
import type { Progress } from "./progress.ts";
import { TerminalFrame } from "./terminal-frame.ts";
import { totalLine } from "./total-line.ts";

const FRAME_MS = 100;

/** Progress drawn in place. Events only change the state; frames are drawn at most every `FRAME_MS`, and skipped while the terminal lags. */
export class LiveProgress implements Progress {
  readonly #output: Output;
  readonly #frame: TerminalFrame;
  readonly #states: LayerStates;
  readonly #total: ProgressSummary = new ProgressSummary();
  readonly #now: () => number;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(output: Output, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#states = new LayerStates(now);
    this.#now = now;
    this.#frame = new TerminalFrame(output);
  }

  readonly onEvent = (event: ProgressEvent): void => {
    if (this.#stopped) return;
    this.#states.apply(event);
    this.#total.update(event, this.#now());
    if (event.kind === "warning") this.note(`warning: ${event.code}: ${showMessage(event.message)}`);
    else if (event.kind === "retrying") this.note(`layer ${event.index + 1}: ${retryText(event)}`);
    else if (this.#states.rows.length > 0) this.#schedule();
  };

  readonly note = (line: string): void => {
    if (!this.#stopped) this.#frame.draw(this.#lines(), [line]);
  };

  readonly stop = (): void => {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    // without the line for the whole pull: the command prints the result
    this.#frame.draw(layerLines(this.#states.rows, this.#frame.size));
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
    const { width, height } = this.#frame.size;
    const total = totalLine(this.#total.snapshot(this.#now()), width);
    if (total === undefined || height < 1) return layerLines(this.#states.rows, { width, height });
    return [...layerLines(this.#states.rows, { width, height: height - 1 }), total];
  }
}
