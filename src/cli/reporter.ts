/** What a command says beside its result, on standard error. */
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

  /** Progress may be drawn. */
  get isLive(): boolean {
    return !this.quiet && isTerminal(this.#context.stderr, this.#context.env);
  }

  /** A line for people, escaped by whoever gives it. */
  note(line: string): void {
    if (!this.quiet && !this.json) this.#context.stderr.write(`${line}\n`);
  }

  readonly warn = (code: string, message: string): void => {
    if (!this.quiet) this.#context.stderr.write(`${this.warning(code, message)}\n`);
  };

  /** The line that `warn` writes. */
  warning(code: string, said: string): string {
    const message = nameOptions(said);
    return this.json ? showJson({ warning: { code, message } }) : `warning: ${code}: ${showMessage(message)}`;
  }

  /** One of several things failed, and the others go on. @returns the exit code that it asks for, and what a JSON result says of it */
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
