/** Progress of a pull on standard error: a line a layer that is drawn again in place on a terminal, else plain lines. */
import type { ProgressSink } from "../../index.ts";
import type { Context } from "../command.ts";
import { LiveProgress } from "./live-progress.ts";
import { PlainProgress } from "./plain-progress.ts";

export interface Progress {
  readonly onEvent: ProgressSink;
  /** A line that is not part of the progress; escaped by whoever gives it. */
  readonly note: (line: string) => void;
  /** Draws the last state; nothing is written afterwards. Idempotent. */
  readonly stop: () => void;
}

const QUIET: Progress = { onEvent: () => {}, note: () => {}, stop: () => {} };

export function startProgress({ stderr, env }: Context, { quiet }: { readonly quiet: boolean }): Progress {
  if (quiet) return QUIET;
  const live = stderr.isTTY === true && env["TERM"] !== "dumb";
  return live ? new LiveProgress(stderr) : new PlainProgress(stderr);
}
