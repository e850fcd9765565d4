/** Progress on standard error: a line a layer that is drawn again in place on a terminal, else plain lines. */
import type { ProgressEvent } from "../../index.ts";
import type { Context } from "../command.ts";
import { isTerminal, type Reporter } from "../reporter.ts";
import type { Progress } from "./progress.ts";

/** Progress whose code is loaded when there is something to show: a cached pull has nothing, and is quicker without. */
export class DeferredProgress {
  readonly #context: Context;
  readonly #reporter: Reporter;
  /** With --json each line of a log is JSON: then only a terminal is shown progress. */
  readonly #silent: boolean;
  #loading: Promise<Progress> | undefined;

  constructor(context: Context, reporter: Reporter) {
    this.#context = context;
    this.#reporter = reporter;
    this.#silent = reporter.json && !isTerminal(context.stderr, context.env);
  }

  readonly onEvent = (event: ProgressEvent): void => {
    if (event.kind === "warning") this.onWarning(event.code, event.message);
    // these two are told by what the command prints, and are all that a cached pull says
    else if (event.kind !== "complete" && event.kind !== "failed" && !this.#silent) this.#tell((progress) => progress.onEvent(event));
  };

  readonly onWarning = (code: string, message: string): void => {
    if (this.#silent) this.#reporter.warn(code, message);
    else this.note(this.#reporter.warning(code, message));
  };

  /** A line that is not part of the progress; escaped by whoever gives it. */
  readonly note = (line: string): void => this.#tell((progress) => progress.note(line));

  /** Resolves when the last state is drawn; nothing is written afterwards. Idempotent. */
  async stop(): Promise<void> {
    (await this.#loading)?.stop();
  }

  #tell(action: (progress: Progress) => void): void {
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
