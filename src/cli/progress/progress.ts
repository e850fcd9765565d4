/** What a pull shows of itself on standard error. */
import type { ProgressEvent } from "../../index.ts";

export interface Progress {
  readonly onEvent: (event: ProgressEvent) => void;
  /** A line that is not part of the progress; escaped by whoever gives it. */
  readonly note: (line: string) => void;
  /** Draws the last state; nothing is written afterwards. Idempotent. */
  readonly stop: () => void;
}
