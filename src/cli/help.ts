/** Help, written from the tables of the commands. */
import wrapAnsi from "wrap-ansi";
import type { ArgumentSpec, Command, OptionSpec } from "./command.ts";
import { EXIT_CODES } from "./exit-codes.ts";
import { COMMON, HELP } from "./options.ts";

/** Of a terminal that is wide enough, and elsewhere. */
export const HELP_WIDTH = 96;

export function programHelp(commands: readonly Command[], width: number): string {
  const { table, wrap, exitCodes } = layoutOf(width);
  return lines(
    "Usage: shale COMMAND [OPTIONS] ...",
    "",
    ...wrap("Pulls OCI images into a local store, and makes their layers available as directories of hard links."),
    "",
    "Commands:",
    ...table(commands.map(({ name, summary }) => [name, summary])),
    "",
    "Options:",
    ...table([
      ["-h, --help", "show this help; after a command, that command's"],
      ["-V, --version", "show the version"],
    ]),
    "",
    "Environment:",
    ...table([
      ["SHALE_STORE", "the store, where --store does not name one"],
      ["NO_COLOR", "if it is not empty: no colours"],
      ["SHALE_DEBUG", "if it is not empty: a stack trace follows an error"],
    ]),
    "",
    ...exitCodes(EXIT_CODES),
    "",
    "Examples:",
    ...commands.flatMap(({ examples }) => examples.slice(0, 1)).map(([command]) => `  ${command}`),
  );
}

/** Help of `shale lease`, whose second word is missing. */
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
    "Options:",
    ...table(optionRows(command)),
    "",
    ...(command.notes ?? []).flatMap((note) => [...wrap(note), ""]),
    ...(command.json === undefined ? [] : [...wrap(`--json prints ${command.json}`), ""]),
    ...exitCodes(command.exitCodes ? [...command.exitCodes.rows, EXIT_CODES.at(-1)!] : EXIT_CODES),
    "",
    "Examples:",
    ...command.examples.flatMap(([text, does]) => [`  # ${does}`, `  ${text}`]),
  );
}

/** `shale rm [OPTIONS] REFERENCE...` */
export function usageOf({ name, arguments: specs }: Command): string {
  return ["shale", name, "[OPTIONS]", ...specs.map(argumentText)].join(" ");
}

/** Each option as `-q, --quiet` or `--store DIR`, and what it means; those of every command last. */
export function optionRows({ options }: Command): (readonly [string, string])[] {
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => !Object.hasOwn(COMMON, name)));
  return Object.entries({ ...own, ...COMMON, help: HELP }).map(([name, { short, argument, choices, help }]: [string, OptionSpec]) => {
    const left = `${short === undefined ? "" : `-${short}, `}--${name}${argument === undefined ? "" : ` ${argument}`}`;
    return [left, choices ? `${help}: ${choices.join(", ")}` : help];
  });
}

function argumentText({ name, choices, optional, repeated }: ArgumentSpec): string {
  const text = `${choices ? choices.join("|") : name}${repeated ? "..." : ""}`;
  return optional ? `[${text}]` : text;
}

interface Layout {
  readonly wrap: (text: string) => string[];
  readonly table: (rows: readonly (readonly [string, string])[]) => string[];
  readonly exitCodes: (rows: readonly (readonly [number, string])[]) => string[];
}

function layoutOf(width: number): Layout {
  const wrap = (text: string, within = width): string[] => wrapAnsi(text, within).split("\n");
  const table: Layout["table"] = (rows) => {
    const first = Math.max(...rows.map(([left]) => left.length));
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
