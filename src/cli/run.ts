/** The command line from its arguments to an exit code. */
import { ShaleError } from "../errors.ts";
import type { Command, Context } from "./command.ts";
import { parseCommandLine } from "./parse-command-line.ts";
import { pullCommand } from "./pull.ts";
import { showJson, showMessage } from "./show.ts";
import { UsageError } from "./usage-error.ts";

const COMMANDS = [pullCommand] as const;

export type ExitCode = 0 | 1 | 2 | 130;

/** Never rejects: what went wrong is told on standard error (and, with --json, on standard output) and by the exit code. */
export async function run(argv: readonly string[], context: Context): Promise<ExitCode> {
  try {
    const line = parseCommandLine(argv, COMMANDS);
    if (line.kind === "version") context.stdout.write(`${context.version}\n`);
    else if (line.kind === "help") context.stdout.write(await help(line.command));
    else await line.command.run(line, context);
    return 0;
  } catch (error) {
    const failure = describe(error, context.signal);
    context.stderr.write(`shale: ${failure.code}: ${showMessage(failure.message)}\n`);
    if (error instanceof UsageError) context.stderr.write("shale: see shale --help\n");
    if (argv.includes("--json")) context.stdout.write(`${showJson({ error: { code: failure.code, message: failure.message } })}\n`);
    if (context.env["SHALE_DEBUG"] && error instanceof Error) context.stderr.write(`${showStack(error)}\n`);
    return failure.exitCode;
  }
}

async function help(command: Command | undefined): Promise<string> {
  const { commandHelp, programHelp } = await import("./help.ts");
  return command ? commandHelp(command) : programHelp(COMMANDS);
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exitCode: ExitCode;
}

function describe(error: unknown, signal: AbortSignal): Failure {
  if (signal.aborted)
    return { code: "INTERRUPTED", message: "stopped; nothing half-made is visible, run it again to go on", exitCode: 130 };
  if (error instanceof UsageError) return { code: "USAGE", message: error.message, exitCode: 2 };
  if (ShaleError.is(error)) return { code: error.code, message: error.message, exitCode: 1 };
  const message = error instanceof Error ? error.message : String(error);
  return { code: "INTERNAL", message, exitCode: 1 };
}

/** With its causes, each line escaped by itself. */
function showStack(error: Error): string {
  const stack = error.stack ?? error.message;
  const cause = error.cause instanceof Error ? `\ncaused by ${showStack(error.cause)}` : "";
  return `${stack.split("\n").map(showMessage).join("\n")}${cause}`;
}
