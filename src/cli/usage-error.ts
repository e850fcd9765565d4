import type { Command } from "./command.ts";

/** The command line was not understood: exit code 2. `message` may quote what the user typed, unescaped. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
  /** Whose help says more. */
  readonly command: Command | undefined;

  constructor(message: string, options: { readonly cause?: unknown; readonly command?: Command } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.command = options.command;
  }
}
