/** Help texts, made from the tables of the commands. */
import wrapAnsi from "wrap-ansi";
import type { ArgumentSpec, Command, OptionSpec } from "./command.ts";
import { EXIT_CODES } from "./exit-codes.ts";
import { COMMON_OPTIONS, HELP, PULL_OPTIONS, REGISTRY_OPTIONS, type OptionGroup } from "./options.ts";

/** Maximum width, and the width without a terminal. */
export const HELP_WIDTH = 96;

/** Commands whose first example is in the help of the program. */
const SHOWN_FIRST: readonly string[] = ["pull", "images", "ls", "rootfs", "mount", "rm", "gc"];

export function programHelp(commands: readonly Command[], width: number): string {
  const { table, wrap, exitCodes } = layoutOf(width);
  return lines(
    "Usage: shale COMMAND [OPTIONS] ...",
    "",
    ...wrap("Pull OCI images into a local store, and create their layer directories on demand, by hard links."),
    "",
    "Commands:",
    ...table(commands.map(({ name, summary }) => [name, summary])),
    "",
    "Options:",
    ...table([
      ["-h, --help", "show this help; after COMMAND: the help of the command"],
      ["-V, --version", "show the version"],
    ]),
    "",
    "Environment:",
    ...table([
      ["SHALE_STORE", "store directory, unless --store is given"],
      ["NO_COLOR", "if not empty: no colours"],
      ["SHALE_DEBUG", "if not empty: errors are followed by a stack trace"],
    ]),
    "",
    ...exitCodes(EXIT_CODES),
    "",
    "Examples:",
    ...commands
      .filter(({ name }) => SHOWN_FIRST.includes(name))
      .flatMap(({ examples }) => examples.slice(0, 1))
      .map(([command]) => `  ${command}`),
    "",
    "shale COMMAND --help describes a command.",
  );
}

/** Help of a group of commands, such as `shale lease`. */
export function groupHelp(group: string, commands: readonly Command[], width: number): string {
  const { table } = layoutOf(width);
  const own = commands.filter(({ name }) => name.startsWith(`${group} `));
  return lines(
    `Usage: shale ${group} COMMAND [OPTIONS] ...`,
    "",
    "Commands:",
    ...table(own.map(({ name, summary }) => [name, summary])),
    "",
    "Examples:",
    ...own.flatMap(({ examples }) => examples.slice(0, 1)).map(([command]) => `  ${command}`),
  );
}

export function commandHelp(command: Command, width: number): string {
  const { table, wrap, exitCodes } = layoutOf(width);
  return lines(
    `Usage: ${usageOf(command)}`,
    "",
    ...wrap(command.summary),
    "",
    ...optionSections(command, table),
    ...(command.notes ?? []).flatMap((note) => [...wrap(note), ""]),
    ...(command.json === undefined ? [] : [...wrap(`--json prints ${command.json}`), ""]),
    ...(command.exitCodes ? exitCodes([...command.exitCodes.rows, EXIT_CODES.at(-1)!]) : ["shale --help lists the exit codes."]),
    "",
    "Examples:",
    ...command.examples.flatMap(([text, does]) => [`  # ${does}`, `  ${text}`]),
  );
}

/** `shale rm [OPTIONS] REFERENCE...` */
export function usageOf({ name, arguments: specs }: Command): string {
  return ["shale", name, "[OPTIONS]", ...specs.map(argumentText)].join(" ");
}

export type Row = readonly [left: string, right: string];

/** The command's options by group: first those in none of `groups`, under "Options". Groups without an option are left out. */
export function optionGroups({ options }: Command, groups: readonly OptionGroup[]): { readonly title: string; readonly rows: Row[] }[] {
  const all = Object.entries({ ...options, help: HELP });
  const isIn = (group: OptionGroup, name: string, spec: OptionSpec): boolean => group.options[name] === spec;
  const own = all.filter(([name, spec]) => !groups.some((group) => isIn(group, name, spec)));
  const shared = groups.map((group) => ({ title: group.title, options: all.filter(([name, spec]) => isIn(group, name, spec)) }));
  return [{ title: "Options", options: own }, ...shared]
    .filter((group) => group.options.length > 0)
    .map((group) => ({ title: group.title, rows: group.options.map(([name, spec]) => optionRow(name, spec)) }));
}

/** An option as `-q, --quiet`, `--store DIR` or `--materialize eager|lazy`, and its meaning. */
export function optionRow(name: string, { short, argument, choices, help }: OptionSpec): Row {
  const value = choices?.join("|") ?? argument;
  return [`${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`, help];
}

function optionSections(command: Command, table: Layout["table"]): string[] {
  const groups = optionGroups(command, [PULL_OPTIONS, REGISTRY_OPTIONS, COMMON_OPTIONS]);
  const width = Math.max(...groups.flatMap(({ rows }) => rows.map(([left]) => left.length)));
  return groups.flatMap(({ title, rows }) => [`${title}:`, ...table(rows, width), ""]);
}

function argumentText({ name, choices, optional, repeated }: ArgumentSpec): string {
  const text = `${choices ? choices.join("|") : name}${repeated ? "..." : ""}`;
  return optional ? `[${text}]` : text;
}

interface Layout {
  readonly wrap: (text: string) => string[];
  /** `first`: width of the first column; default: as wide as needed. */
  readonly table: (rows: readonly Row[], first?: number) => string[];
  readonly exitCodes: (rows: readonly (readonly [number, string])[]) => string[];
}

function layoutOf(width: number): Layout {
  const wrap = (text: string, within = width): string[] => wrapAnsi(text, within).split("\n");
  const table: Layout["table"] = (rows, first = Math.max(...rows.map(([left]) => left.length))) => {
    return rows.flatMap(([left, right]) => {
      const [line = "", ...more] = wrap(right, Math.max(20, width - first - 4));
      return [`  ${left.padEnd(first)}  ${line}`, ...more.map((one) => `  ${" ".repeat(first)}  ${one}`)];
    });
  };
  const exitCodes: Layout["exitCodes"] = (rows) => ["Exit codes:", ...table(rows.map(([code, meaning]) => [String(code), meaning]))];
  return { wrap, table, exitCodes };
}

function lines(...all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
