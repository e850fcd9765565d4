import type { Command } from "./command.ts";

/** The command line is invalid: exit code 2. `message` may quote what the user typed, unescaped. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
  /** The command whose help applies. */
  readonly command: Command | undefined;
  /** The group of commands whose help applies. */
  readonly group: string | undefined;

  constructor(message: string, options: { readonly cause?: unknown; readonly command?: Command; readonly group?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.command = options.command;
    this.group = options.group;
  }
}
