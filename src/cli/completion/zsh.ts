/** Completion for zsh, by its function _arguments. */
import type { Completes } from "../command.ts";
import { firstWords, groupsOf, quote, type CompletedCommand } from "./model.ts";

export function zshCompletion(commands: readonly CompletedCommand[]): string {
  const groups = [...groupsOf(commands)];
  const single = commands.filter(({ words }) => words.length === 1);
  return `#compdef shale
# zsh completion for shale: save it as "_shale" in a directory of $fpath, or source it after compinit

_shale_references() {
  local -a found
  found=(\${(f)"$(_shale_ask images --quiet --no-size)"})
  compadd -a found
}

_shale_leases() {
  local -a found
  found=(\${(f)"$(_shale_ask lease ls --quiet)"})
  compadd -a found
}

_shale_ask() {
  local -a named
  [[ -n "\${opt_args[--store]}" ]] && named=(--store "\${opt_args[--store]}")
  "\${_shale_program:-shale}" "$@" $named 2> /dev/null
}

_shale() {
  local curcontext="$curcontext" _shale_program="\${words[1]/#\\~/$HOME}"
  local -a commands
  typeset -A opt_args
  if (( CURRENT == 2 )); then
    commands=(
${firstWords(commands)
  .map(([word, summary]) => `      ${quote(`${word}:${summary}`)}`)
  .join("\n")}
      'help:show help'
    )
    _describe -t commands command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${groups.map(([group, own]) => groupCase(group, own)).join("\n")}
${single.map((command) => `    ${command.words[0]}) ${argumentsCall(command)} ;;`).join("\n")}
  esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _shale "$@"
else
  compdef _shale shale
fi
`;
}

function groupCase(group: string, own: readonly CompletedCommand[]): string {
  return `    ${group})
      if (( CURRENT == 2 )); then
        commands=(${own.map(({ words, summary }) => quote(`${words[1]}:${summary}`)).join(" ")})
        _describe -t commands command commands
        return
      fi
      shift words
      (( CURRENT-- ))
      case $words[1] in
${own.map((command) => `        ${command.words[1]}) ${argumentsCall(command)} ;;`).join("\n")}
      esac
      ;;`;
}

function argumentsCall({ options, arguments: specs }: CompletedCommand): string {
  const lines = [
    ...options.flatMap(({ name, short, help, value, completes, multiple }) => {
      const action = value === undefined ? "" : `:${value.replaceAll(":", "")}:${actionOf(completes)}`;
      const text = `[${help.replaceAll(/[\\[\]:]/g, String.raw`\$&`)}]${action}`;
      const names = short === undefined ? [name] : [name, short];
      const before = multiple ? "*" : names.length > 1 ? `(${names.join(" ")})` : "";
      return names.map((one) => quote(`${before}${one}${value === undefined ? "" : one.startsWith("--") ? "=" : "+"}${text}`));
    }),
    ...specs.map(({ name, completes, repeated }, at) => quote(`${repeated ? "*" : at + 1}:${name}:${actionOf(completes)}`)),
  ];
  return `_arguments -s ${lines.join(" ")}`;
}

function actionOf(completes: Completes | undefined): string {
  switch (completes) {
    case undefined:
      return " ";
    case "reference":
      return "_shale_references";
    case "lease":
      return "_shale_leases";
    case "file":
      return "_files";
    case "directory":
      return "_directories";
    default:
      return `(${completes.join(" ")})`;
  }
}
