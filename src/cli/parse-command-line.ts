/** The command line, by Node's own parser: loading a larger one costs more than a cached pull does. */
import { parseArgs } from "node:util";
import type { ParseArgsConfig } from "node:util";
import type { Command, OptionValues } from "./command.ts";
import { UsageError } from "./usage-error.ts";

export type CommandLine =
  | { readonly kind: "version" }
  | { readonly kind: "help"; readonly command?: Command }
  | { readonly kind: "run"; readonly command: Command; readonly args: readonly string[]; readonly values: OptionValues };

/** @throws UsageError */
export function parseCommandLine(argv: readonly string[], commands: readonly Command[]): CommandLine {
  const [first, ...rest] = argv;
  if (first === undefined) throw new UsageError("a command is missing");
  if (first === "--version" || first === "-V") return { kind: "version" };
  if (first === "--help" || first === "-h") return { kind: "help" };
  if (first === "help") return help(rest[0], commands);
  const command = find(first, commands);
  const { values, positionals } = parse(command, rest);
  if (values["help"] === true) return { kind: "help", command };
  requireArguments(command, positionals);
  requireChoices(command, values);
  return { kind: "run", command, args: positionals, values };
}

function help(name: string | undefined, commands: readonly Command[]): CommandLine {
  return name === undefined ? { kind: "help" } : { kind: "help", command: find(name, commands) };
}

function find(name: string, commands: readonly Command[]): Command {
  const command = commands.find((candidate) => candidate.name === name);
  if (command) return command;
  const what = name.startsWith("-") ? "option" : "command";
  throw new UsageError(`${what} "${name}" is unknown; the commands are: ${commands.map((known) => known.name).join(", ")}`);
}

function parse(command: Command, args: readonly string[]): { values: OptionValues; positionals: readonly string[] } {
  const options: NonNullable<ParseArgsConfig["options"]> = { help: { type: "boolean", short: "h" } };
  for (const [name, { type, short }] of Object.entries(command.options)) options[name] = { type, ...(short !== undefined && { short }) };
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { values: values as OptionValues, positionals };
  } catch (error) {
    // parseArgs throws TypeErrors with codes of their own, all of which are about what was typed
    if (error instanceof TypeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function requireArguments(command: Command, args: readonly string[]): void {
  const missing = command.arguments[args.length];
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const extra = args[command.arguments.length];
  if (extra !== undefined) throw new UsageError(`argument "${extra}" is one too many`);
}

function requireChoices(command: Command, values: OptionValues): void {
  for (const [name, { choices, type }] of Object.entries(command.options)) {
    const value = values[name];
    if (typeof value !== "string") continue;
    if (type === "string" && value === "") throw new UsageError(`--${name} is empty`);
    if (choices && !choices.includes(value)) throw new UsageError(`--${name} "${value}" is unknown; use one of ${choices.join(", ")}`);
  }
}
