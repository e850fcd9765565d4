/** Writes notes, warnings and errors of a command to standard error. */
import type { Context, Line, Output } from "./command.ts";
import { describeFailure, failureLine } from "./failure.ts";
import { nameOptions, showJson, showMessage } from "./show.ts";
import { flag } from "./values.ts";

export class Reporter {
  readonly quiet: boolean;
  readonly json: boolean;
  readonly #context: Context;

  constructor({ values }: Pick<Line, "values">, context: Context) {
    this.quiet = flag(values, "quiet");
    this.json = flag(values, "json");
    this.#context = context;
  }

  /** True if progress can be drawn in place. */
  get isLive(): boolean {
    return !this.quiet && isTerminal(this.#context.stderr, this.#context.env);
  }

  /** Writes a line, unless --quiet or --json is given. The caller escapes it. */
  note(line: string): void {
    if (!this.quiet && !this.json) this.#context.stderr.write(`${line}\n`);
  }

  readonly warn = (code: string, message: string): void => {
    if (!this.quiet) this.#context.stderr.write(`${this.warning(code, message)}\n`);
  };

  /** Returns the line that `warn` writes. */
  warning(code: string, said: string): string {
    const message = nameOptions(said);
    return this.json ? showJson({ warning: { code, message } }) : `warning: ${code}: ${showMessage(message)}`;
  }

  /** Reports that one of several things failed, and returns its exit code and its error for a JSON result. The command continues. */
  fail(
    error: unknown,
    subject: string,
  ): { readonly exitCode: number; readonly error: { readonly code: string; readonly message: string } } {
    const { signal, stderr } = this.#context;
    signal.throwIfAborted();
    const failure = describeFailure(error, signal);
    stderr.write(failureLine(failure, { json: this.json, subject: showMessage(subject) }));
    return { exitCode: failure.exitCode, error: { code: failure.code, message: failure.message } };
  }
}

export function isTerminal({ isTTY }: Output, env: Context["env"]): boolean {
  return isTTY === true && env["TERM"] !== "dumb";
}
