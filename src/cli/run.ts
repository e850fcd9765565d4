/** The command line from its arguments to an exit code. */
import { ShaleError } from "../errors.ts";
import type { Command, Context } from "./command.ts";
import { parseCommandLine } from "./parse-command-line.ts";
import { pullCommand } from "./pull.ts";
import { showJson, showMessage } from "./show.ts";
import { UsageError } from "./usage-error.ts";

const COMMANDS = [pullCommand] as const;

/** Commands with a parser, output and exit codes of their own, loaded when they are called. */
const PROGRAMS: ReadonlyMap<string, Program> = new Map([
  [
    "fsck",
    {
      summary: "Checks a store, and repairs it if asked; its exit codes are those of fsck(8).",
      run: async (argv, { signal }) => (await import("./fsck.ts")).fsckProgram(argv, signal),
    },
  ],
  [
    "dump-index",
    {
      summary: "Shows what the sidecar of a layer says.",
      run: async (argv) => (await import("./dump-index.ts")).dumpIndexProgram(argv),
    },
  ],
]);

interface Program {
  /** One line. */
  readonly summary: string;
  readonly run: (argv: readonly string[], context: Context) => Promise<number>;
}

/** Never rejects: what went wrong is told on standard error (and, with --json, on standard output) and by the exit code. */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  const [name = "", ...rest] = argv;
  const program = PROGRAMS.get(name);
  if (program) return program.run(rest, context);
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
  return command
    ? commandHelp(command)
    : programHelp([...COMMANDS, ...[...PROGRAMS].map(([name, { summary }]) => ({ name, summary, examples: [] }))]);
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exitCode: 1 | 2 | 130;
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
