/** Help, written from the tables of the commands. */
import type { Command, OptionSpec } from "./command.ts";

/** In the order of their numbers; docs/cli.md has them too. */
const EXIT_CODES: readonly (readonly [string, string])[] = [
  ["0", "done"],
  ["1", "failed; the line on standard error has the code"],
  ["2", "the command line was not understood"],
  ["130", "interrupted by SIGINT or SIGTERM; nothing half-made is visible"],
];

const HELP: OptionSpec = { type: "boolean", short: "h", help: "show this help" };

export function programHelp(commands: readonly Pick<Command, "name" | "summary" | "examples">[]): string {
  return lines(
    "Usage: shale COMMAND [OPTIONS] ...",
    "",
    "Pulls OCI images into a local store, and makes their layers available as directories of hard links.",
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
    ...exitCodes(),
    "",
    "Examples:",
    ...commands.flatMap(({ examples }) => examples.slice(0, 1)).map(([command]) => `  ${command}`),
  );
}

export function commandHelp(command: Command): string {
  const rows = Object.entries({ ...command.options, help: HELP }).map(optionRow);
  return lines(
    `Usage: shale ${[command.name, "[OPTIONS]", ...command.arguments].join(" ")}`,
    "",
    command.summary,
    "",
    "Options:",
    ...table(rows),
    "",
    ...(command.notes ?? []).flatMap((note) => [note, ""]),
    ...exitCodes(),
    "",
    "Examples:",
    ...command.examples.flatMap(([text, does]) => [`  # ${does}`, `  ${text}`]),
  );
}

function optionRow([name, { short, argument, choices, help }]: [string, OptionSpec]): readonly [string, string] {
  const left = `${short === undefined ? "" : `-${short}, `}--${name}${argument === undefined ? "" : ` ${argument}`}`;
  return [left, choices ? `${help}: ${choices.join(", ")}` : help];
}

function exitCodes(): string[] {
  return ["Exit codes:", ...table(EXIT_CODES)];
}

function table(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}

function lines(...all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
