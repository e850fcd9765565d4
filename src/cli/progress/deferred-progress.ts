/** Progress on standard error: drawn in place on a terminal, one line per layer; else plain lines. */
import type { ProgressEvent } from "../../index.ts";
import type { Context } from "../command.ts";
import { isTerminal, type Reporter } from "../reporter.ts";
import type { Progress } from "./progress.ts";

/** Loads the code for progress at the first event to show. A cached pull has none, and is faster without that code. */
export class DeferredProgress {
  readonly #context: Context;
  readonly #reporter: Reporter;
  /** With --json each line of standard error is JSON, so progress is shown only on a terminal. */
  readonly #silent: boolean;
  #loading: Promise<Progress> | undefined;

  constructor(context: Context, reporter: Reporter) {
    this.#context = context;
    this.#reporter = reporter;
    this.#silent = reporter.json && !isTerminal(context.stderr, context.env);
  }

  readonly onEvent = (event: ProgressEvent): void => {
    if (event.kind === "warning") this.onWarning(event.code, event.message);
    // the command prints the result itself; a cached pull has no other events
    else if (event.kind !== "complete" && event.kind !== "failed" && !this.#silent) this.#show((progress) => progress.onEvent(event));
  };

  readonly onWarning = (code: string, message: string): void => {
    if (this.#silent) this.#reporter.warn(code, message);
    else this.note(this.#reporter.warning(code, message));
  };

  /** Writes a line that is not part of the progress. The caller escapes it. */
  readonly note = (line: string): void => this.#show((progress) => progress.note(line));

  /** Resolves when the last state is drawn; nothing is written afterwards. Idempotent. */
  async stop(): Promise<void> {
    (await this.#loading)?.stop();
  }

  #show(action: (progress: Progress) => void): void {
    if (this.#reporter.quiet) return;
    this.#loading ??= load(this.#context);
    // callbacks of one promise run in the order in which they were added
    void this.#loading.then(action);
  }
}

async function load({ stderr, env }: Context): Promise<Progress> {
  if (isTerminal(stderr, env)) {
    const { LiveProgress } = await import("./live-progress.ts");
    return new LiveProgress(stderr);
  }
  const { PlainProgress } = await import("./plain-progress.ts");
  return new PlainProgress(stderr);
}
