/** Completion for fish. */
import type { Completes } from "../command.ts";
import { firstWords, groupsOf, type CompletedCommand } from "./model.ts";

export function fishCompletion(commands: readonly CompletedCommand[]): string {
  return `# fish completion for shale: save it as ~/.config/fish/completions/shale.fish
function __shale_at --description 'these words are complete, and the next word is completed'
    set -l words (commandline -opc)
    test (count $words) -eq (math (count $argv) + 1); or return 1
    test (count $argv) -eq 0; or test "$words[2..-1]" = "$argv"
end

function __shale_in --description 'the command line starts with these words'
    set -l words (commandline -opc)
    test (count $words) -gt (count $argv); or return 1
    test "$words[2..$(math (count $argv) + 1)]" = "$argv"
end

function __shale_ask
    set -l words (commandline -opc)
    set -l named
    set -l at (contains --index -- --store $words)
    and test $at -lt (count $words)
    and set named --store $words[(math $at + 1)]
    string replace --regex '^~' $HOME -- $words[1] | read -l program
    $program $argv $named 2>/dev/null
end

complete -c shale -f
complete -c shale -n __shale_at -s h -l help -d 'show help'
complete -c shale -n __shale_at -s V -l version -d 'show the version'
${firstWords(commands)
  .map(([word, summary]) => `complete -c shale -n __shale_at -a ${word} -d ${quote(summary)}`)
  .join("\n")}
${[...groupsOf(commands)].flatMap(([group, own]) => own.map(({ words, summary }) => `complete -c shale -n '__shale_at ${group}' -a ${words[1]} -d ${quote(summary)}`)).join("\n")}
${commands.flatMap(commandLines).join("\n")}
`;
}

function commandLines({ words, options, arguments: specs }: CompletedCommand): string[] {
  const when = `complete -c shale -n ${quote(`__shale_in ${words.join(" ")}`)}`;
  const own = options.map(({ name, short, help, value, completes }) => {
    const letter = short === undefined ? "" : ` -s ${short.slice(1)}`;
    return `${when}${letter} -l ${name.slice(2)} -d ${quote(help)}${value === undefined ? "" : valueOf(completes)}`;
  });
  // fish does not count arguments: suggestions for one argument are offered for all
  const kinds = [...new Set(specs.map(({ completes }) => completes))];
  return [...own, ...kinds.flatMap((completes) => argumentOf(when, completes))];
}

function valueOf(completes: Completes | undefined): string {
  if (completes === "file") return " -r -F";
  return ` -x${completes === undefined ? "" : ` -a ${sourceOf(completes)}`}`;
}

function argumentOf(when: string, completes: Completes | undefined): string[] {
  if (completes === undefined) return [];
  return completes === "file" ? [`${when} -F`] : [`${when} -a ${sourceOf(completes)}`];
}

function sourceOf(completes: Completes): string {
  switch (completes) {
    case "reference":
      return quote("(__shale_ask images --quiet --no-size)");
    case "lease":
      return quote("(__shale_ask lease ls --quiet)");
    case "directory":
      return quote("(__fish_complete_directories)");
    case "file":
      return quote("(__fish_complete_path)");
    default:
      return quote(completes.join(" "));
  }
}

/** In single quotes, in which fish has only the escapes \\\\ and \\'. */
function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}
