/** Shows the progress of a pull on standard error. */
import type { ProgressEvent } from "../../index.ts";

export interface Progress {
  readonly onEvent: (event: ProgressEvent) => void;
  /** Writes a line that is not part of the progress. The caller escapes it. */
  readonly note: (line: string) => void;
  /** Draws the last state; nothing is written afterwards. Idempotent. */
  readonly stop: () => void;
}
