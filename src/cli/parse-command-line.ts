/** Parses the command line by util.parseArgs: other parsers take longer to load than a cached pull takes. */
import type { ParseArgsConfig } from "node:util";
import type { ArgumentSpec, Command, Line, OptionSpec, OptionValues } from "./command.ts";
import type { CommandEntry } from "./commands.ts";
import { HELP } from "./options.ts";
import { parseCount, parseDuration, parseSize } from "./parse-amount.ts";
import { UsageError } from "./usage-error.ts";

const { parseArgs } = process.getBuiltinModule("node:util");

export type CommandLine =
  | { readonly kind: "version" }
  | { readonly kind: "help"; readonly command?: Command; readonly group?: string }
  | ({ readonly kind: "run"; readonly command: Command } & Omit<Line, "loadCommands">);

/** @throws UsageError */
export async function parseCommandLine(argv: readonly string[], entries: readonly CommandEntry[]): Promise<CommandLine> {
  const [first, ...rest] = argv;
  if (first === undefined) throw new UsageError("no command is given");
  if (first === "--version" || first === "-V") return { kind: "version" };
  if (first === "--help" || first === "-h") return { kind: "help" };
  if (first === "help") return help(rest, entries);
  const { entry, args } = await find(argv, entries);
  if (!entry) return { kind: "help", group: first };
  const command = await entry.load();
  const { values, positionals } = await parse(command, args);
  if (values["help"] === true) return { kind: "help", command };
  try {
    requireArguments(command, positionals);
    return { kind: "run", command, args: positionals, values: await checkValues(command, values) };
  } catch (error) {
    throw withCommand(error, command);
  }
}

async function help(args: readonly string[], entries: readonly CommandEntry[]): Promise<CommandLine> {
  if (args.length === 0) return { kind: "help" };
  const { entry } = await find(args, entries, true);
  return entry ? { kind: "help", command: await entry.load() } : { kind: "help", group: args[0] ?? "" };
}

interface Found {
  /** Undefined: help for a group of commands. */
  readonly entry?: CommandEntry;
  readonly args: readonly string[];
}

async function find([first = "", ...rest]: readonly string[], entries: readonly CommandEntry[], forHelp = false): Promise<Found> {
  const single = entries.find(({ name }) => name === first);
  if (single) return { entry: single, args: rest };
  const group = entries.filter(({ name }) => name.startsWith(`${first} `));
  const [second, ...others] = rest;
  const names = [...entries.map(({ name }) => name), "--help", "--version"];
  if (group.length === 0) {
    if (first.startsWith("-")) throw new UsageError(`option ${quote(first)} is before the command; write options after it`);
    throw new UsageError(`unknown command ${quote(first)}${await didYouMean(first, names)}`);
  }
  if ((second === undefined && forHelp) || second === "--help" || second === "-h") return { args: [] };
  const entry = group.find(({ name }) => name === `${first} ${second}`);
  if (entry) return { entry, args: others };
  const known = group.map(({ name }) => name).join(", ");
  if (second === undefined) throw new UsageError(`${quote(first)} is a group of commands; use one of ${known}`, { group: first });
  throw new UsageError(`unknown command ${quote(`${first} ${second}`)}; use one of ${known}`, { group: first });
}

async function parse(command: Command, args: readonly string[]): Promise<{ values: OptionValues; positionals: readonly string[] }> {
  const options: NonNullable<ParseArgsConfig["options"]> = {};
  for (const [name, { type, short, multiple }] of Object.entries({ ...command.options, help: HELP })) {
    options[name] = {
      type: type === "boolean" ? "boolean" : "string",
      ...(short !== undefined && { short }),
      ...(multiple && { multiple }),
    };
  }
  try {
    const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
    return { values: values as OptionValues, positionals };
  } catch (error) {
    // parseArgs throws TypeErrors with its own codes, all about what the user typed
    if (!(error instanceof TypeError)) throw error;
    throw withCommand(await unknownOption(error, command, args), command);
  }
}

async function unknownOption(error: TypeError, command: Command, args: readonly string[]): Promise<UsageError> {
  if ((error as NodeJS.ErrnoException).code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") {
    const known = Object.keys({ ...command.options, help: HELP });
    const typed = args.map((arg) => /^--([^=]+)/.exec(arg)?.[1]).find((name) => name !== undefined && !known.includes(name));
    const short = args.map((arg) => /^-([^-])/.exec(arg)?.[1]).find((letter) => letter !== undefined && !isShort(command, letter));
    if (typed !== undefined) {
      const names = known.map((name) => `--${name}`);
      return new UsageError(`unknown option ${quote(`--${typed}`)}${await didYouMean(`--${typed}`, names)}`, { cause: error });
    }
    if (short !== undefined) return new UsageError(`unknown option ${quote(`-${short}`)}`, { cause: error });
  }
  const [, name] = /^Option '(?:-\w, )?--([\w-]+)/.exec(error.message) ?? [];
  const spec = name === undefined ? undefined : { help: HELP, ...command.options }[name];
  if (!spec) return new UsageError(error.message, { cause: error });
  const wanted = spec.type === "boolean" ? "takes no value" : `needs a value, ${spec.argument ?? "VALUE"}`;
  return new UsageError(`--${name} ${wanted}`, { cause: error });
}

function isShort(command: Command, letter: string): boolean {
  return Object.values({ ...command.options, help: HELP }).some(({ short }) => short === letter);
}

async function didYouMean(typed: string, known: readonly string[]): Promise<string> {
  const { suggest } = await import("./suggest.ts");
  const near = suggest(typed, known);
  return near === undefined ? "" : `; did you mean ${near}?`;
}

function requireArguments(command: Command, args: readonly string[]): void {
  const specs = command.arguments;
  const missing = specs[args.length];
  if (missing && !missing.optional) throw new UsageError(`${missing.name} is missing`);
  const extra = args[specs.length];
  if (extra !== undefined && !specs.at(-1)?.repeated) throw new UsageError(`unexpected argument ${quote(extra)}`);
  for (const [index, arg] of args.entries()) {
    const spec: ArgumentSpec | undefined = specs[index] ?? specs.at(-1);
    if (arg === "") throw new UsageError(`${spec?.name ?? "an argument"} is empty`);
    if (spec?.choices && !spec.choices.includes(arg))
      throw new UsageError(`unknown ${spec.name} ${quote(arg)}; use one of ${spec.choices.join(", ")}`);
  }
}

async function checkValues(command: Command, values: OptionValues): Promise<OptionValues> {
  const checked: Record<string, OptionValues[string]> = {};
  for (const [name, value] of Object.entries(values)) {
    const spec = command.options[name];
    checked[name] = spec && typeof value === "string" ? await checkValue(name, value, spec) : value;
    if (Array.isArray(value) && value.includes("")) throw new UsageError(`--${name} is empty`);
  }
  for (const names of command.conflicts ?? []) {
    const [first, second] = names.filter((name) => values[name] !== undefined);
    if (first !== undefined && second !== undefined)
      throw new UsageError(`--${first} and --${second} exclude each other; give only one of them`);
  }
  return checked;
}

async function checkValue(name: string, value: string, { type, choices, range }: OptionSpec): Promise<string | number> {
  if (value === "") throw new UsageError(`--${name} is empty`);
  if (choices && !choices.includes(value)) {
    throw new UsageError(`--${name} ${quote(value)} is not allowed; use one of ${choices.join(", ")}${await didYouMean(value, choices)}`);
  }
  switch (type) {
    case "size":
      return number(name, value, { parsed: parseSize(value), wanted: "not a size; write for example 512MiB or 20GB" });
    case "duration":
      return number(name, value, { parsed: parseDuration(value), wanted: "not a duration; write for example 90s, 5m, 12h or 7d" });
    case "count":
      return number(name, value, countIn(value, range));
    case "boolean":
    case "string":
      return value;
  }
}

function countIn(value: string, range: OptionSpec["range"]): { parsed: number | undefined; wanted: string } {
  const count = parseCount(value);
  if (range === undefined) return { parsed: count, wanted: "not a count; write a whole number from 1 on" };
  const [least, most] = range;
  const parsed = count === undefined || count < least || count > most ? undefined : count;
  return { parsed, wanted: `out of range; write a whole number from ${least} to ${most}` };
}

function number(name: string, value: string, { parsed, wanted }: { parsed: number | undefined; wanted: string }): number {
  if (parsed === undefined) throw new UsageError(`--${name} ${quote(value)} is ${wanted}`);
  return parsed;
}

function withCommand(error: unknown, command: Command): unknown {
  if (!(error instanceof UsageError)) return error;
  return new UsageError(error.message, { cause: error.cause, command });
}

function quote(typed: string): string {
  return JSON.stringify(typed.length > 200 ? `${typed.slice(0, 200)}…` : typed);
}
