/** The commands in the form that the completions of all shells use. */
import type { Command, Completes } from "../command.ts";
import { HELP } from "../options.ts";

interface CompletedOption {
  /** With its dashes. */
  readonly name: string;
  readonly short: string | undefined;
  readonly help: string;
  /** Placeholder of its value; undefined for a flag. */
  readonly value: string | undefined;
  readonly completes: Completes | undefined;
  readonly multiple: boolean;
}

interface CompletedArgument {
  readonly name: string;
  readonly completes: Completes | undefined;
  readonly repeated: boolean;
}

export interface CompletedCommand {
  /** One word or two. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly CompletedArgument[];
}

export function completedCommands(commands: readonly Command[]): CompletedCommand[] {
  return commands.map(({ name, summary, options, arguments: specs }) => ({
    words: name.split(" "),
    summary: summary.replace(/\.$/, ""),
    options: Object.entries({ ...options, help: HELP }).map(([long, { type, short, argument, choices, completes, help, multiple }]) => ({
      name: `--${long}`,
      short: short === undefined ? undefined : `-${short}`,
      help,
      value: type === "boolean" ? undefined : (argument ?? "VALUE"),
      completes: choices ?? completes,
      multiple: multiple ?? false,
    })),
    arguments: specs.map(({ name: argument, choices, completes, repeated }) => ({
      name: argument,
      completes: choices ?? completes,
      repeated: repeated ?? false,
    })),
  }));
}

/** First words of commands, each once, with their summaries. */
export function firstWords(commands: readonly CompletedCommand[]): (readonly [word: string, summary: string])[] {
  const groups = Map.groupBy(commands, ({ words }) => words[0] ?? "");
  return [...groups].map(([word, own]) => [word, own.length === 1 ? (own[0]?.summary ?? "") : own.map(({ words }) => words[1]).join(", ")]);
}

/** Groups of commands of two words, by their first word. */
export function groupsOf(commands: readonly CompletedCommand[]): Map<string, CompletedCommand[]> {
  return Map.groupBy(
    commands.filter(({ words }) => words.length > 1),
    ({ words }) => words[0] ?? "",
  );
}

/** In single quotes, for bash and zsh. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
