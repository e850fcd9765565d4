/** The command line was not understood: exit code 2. `message` may quote what the user typed, unescaped. */
export class UsageError extends Error {
  override readonly name: string = "UsageError";
}
