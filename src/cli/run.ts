/** Runs a command line, from arguments to exit code. */
import { isError } from "../errors.ts";
import type { Command, Context } from "./command.ts";
import { COMMANDS, loadCommands } from "./commands.ts";
import { describeFailure, failureLine } from "./failure.ts";
import { parseCommandLine, type CommandLine } from "./parse-command-line.ts";
import { ReaderGone } from "./print.ts";
import { showMessage } from "./show.ts";
import { UsageError } from "./usage-error.ts";

/** Never rejects: errors go to standard error and to the exit code. */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  let command: Command | undefined;
  try {
    const line = await parseCommandLine(argv, COMMANDS);
    if (line.kind === "run") {
      command = line.command;
      return (await command.run({ ...line, loadCommands }, context)) ?? 0;
    }
    context.stdout.write(line.kind === "version" ? `${context.version}\n` : await help(line, context));
    return 0;
  } catch (error) {
    return error instanceof ReaderGone ? 0 : report(error, { argv, context, command });
  }
}

async function help({ command, group }: Extract<CommandLine, { kind: "help" }>, { stdout }: Context): Promise<string> {
  const { commandHelp, groupHelp, HELP_WIDTH, programHelp } = await import("./help.ts");
  const width = stdout.isTTY === true ? Math.min(HELP_WIDTH, stdout.columns || 80) : HELP_WIDTH;
  if (command) return commandHelp(command, width);
  return group === undefined ? programHelp(await loadCommands(), width) : groupHelp(group, await loadCommands(), width);
}

interface Failed {
  readonly argv: readonly string[];
  readonly context: Context;
  /** Undefined: the command line is invalid. */
  readonly command: Command | undefined;
}

function report(error: unknown, { argv, context, command }: Failed): number {
  const { stderr, signal, env } = context;
  const failure = describeFailure(error, signal);
  const usage = error instanceof UsageError;
  const of = command ?? (usage ? error.command : undefined);
  const own = signal.aborted ? undefined : of?.exitCodes?.ofFailure(usage ? "usage" : "other");
  const exitCode = own ?? failure.exitCode;
  const options = argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv;
  const json = options.includes("--json");
  stderr.write(failureLine({ ...failure, exitCode }, { json }));
  if (usage && !json) stderr.write(`shale: see ${["shale", of?.name ?? error.group, "--help"].filter(Boolean).join(" ")}\n`);
  if (env["SHALE_DEBUG"] && isError(error)) stderr.write(`${showStack(error)}\n`);
  return exitCode;
}

/** With its causes; each line is escaped. */
function showStack(error: Error): string {
  const stack = error.stack ?? error.message;
  const cause = isError(error.cause) ? `\ncaused by ${showStack(error.cause)}` : "";
  return `${stack.split("\n").map(showMessage).join("\n")}${cause}`;
}
