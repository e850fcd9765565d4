/** Completion for bash; does not need the bash-completion package. */
import { firstWords, groupsOf, quote, type CompletedCommand } from "./model.ts";
import type { Completes } from "../command.ts";

export function bashCompletion(commands: readonly CompletedCommand[]): string {
  const groups = [...groupsOf(commands)];
  return `# bash completion for shale: source it, or save it as "shale" in ~/.local/share/bash-completion/completions
_shale() {
  local line=\${COMP_LINE:0:COMP_POINT} command= second= prev= cur= at=0 store= kind= options= valued= i word
  local -a words=() choices=()
  IFS=$' \\t\\n' read -ra words <<< "$line"
  if [[ $line != *[[:space:]] ]]; then
    cur=\${words[-1]}
    unset 'words[-1]'
  fi
  command=\${words[1]-}
  i=2
  case $command in
    '') choices=(${words(commands)} help --help --version) ;;
${groups.map(([group]) => `    ${group}) second=\${words[2]-} i=3 ;;`).join("\n")}
  esac
  case $command\${second:+ $second} in
${groups.map(([group, own]) => `    ${group}) choices=(${own.map(({ words }) => words[1]).join(" ")} --help) ;;`).join("\n")}
${commands.map((command) => `    ${quote(command.words.join(" "))}) options='${command.options.map(namesOf).join(" ")}' valued=' ${valuedNames(command).join(" ")} ' ;;`).join("\n")}
  esac
  for (( ; i < \${#words[@]}; i++ )); do
    word=\${words[i]}
    if [[ -n $prev ]]; then
      [[ $prev == --store ]] && store=$word
      prev=
    elif [[ $word == --store=* ]]; then
      store=\${word#*=}
    elif [[ $word == -* ]]; then
      [[ $valued == *" $word "* ]] && prev=$word
    else
      (( at++ ))
    fi
  done
  local value=$cur before=
  if [[ -z $prev && $cur == --*=* ]]; then
    prev=\${cur%%=*} value=\${cur#*=} before=\${cur%%=*}=
  fi
  if [[ -n $prev ]]; then
    case "$command\${second:+ $second} $prev" in
${commands.flatMap(optionValues).join("\n")}
    esac
  elif [[ $cur == -* && -n $options ]]; then
    choices=($options)
  else
    case "$command\${second:+ $second} $at" in
${commands.flatMap(argumentValues).join("\n")}
      'help 0') choices=(${words(commands)}) ;;
    esac
  fi
  local program=\${words[0]/#\\~/$HOME}
  case $kind in
    reference) mapfile -t choices < <("$program" images --quiet --no-size \${store:+--store "$store"} 2> /dev/null) ;;
    lease) mapfile -t choices < <("$program" lease ls --quiet \${store:+--store "$store"} 2> /dev/null) ;;
    file | directory)
      compopt -o filenames 2> /dev/null
      mapfile -t COMPREPLY < <(compgen -\${kind:0:1} -- "$value")
      return
      ;;
  esac
  # bash replaces only the text after the last word break
  local rest=$value
  [[ -n $before && $COMP_WORDBREAKS != *=* ]] || before=
  for word in : @; do
    [[ $COMP_WORDBREAKS == *"$word"* ]] && rest=\${rest##*"$word"}
  done
  COMPREPLY=()
  for word in "\${choices[@]}"; do
    [[ $word == "$value"* ]] || continue
    word=\${word:\${#value}-\${#rest}}
    printf -v word %q "$word"
    COMPREPLY+=("$before$word")
  done
}
complete -F _shale shale
`;
}

function words(commands: readonly CompletedCommand[]): string {
  return firstWords(commands)
    .map(([word]) => word)
    .join(" ");
}

function namesOf({ name, short }: CompletedCommand["options"][number]): string {
  return short === undefined ? name : `${name} ${short}`;
}

function valuedNames({ options }: CompletedCommand): string[] {
  return options.flatMap(({ name, short, value }) => (value === undefined ? [] : short === undefined ? [name] : [name, short]));
}

function optionValues({ words, options }: CompletedCommand): string[] {
  return options.flatMap(({ name, short, value, completes }) => {
    if (value === undefined || completes === undefined) return [];
    const patterns = [name, ...(short === undefined ? [] : [short])].map((one) => quote(`${words.join(" ")} ${one}`));
    return [`      ${patterns.join(" | ")}) ${completed(completes)} ;;`];
  });
}

function argumentValues({ words, arguments: specs }: CompletedCommand): string[] {
  return specs.flatMap(({ completes, repeated }, at) => {
    if (completes === undefined) return [];
    const pattern = repeated ? `${quote(`${words.join(" ")} `)}*` : quote(`${words.join(" ")} ${at}`);
    return [`      ${pattern}) ${completed(completes)} ;;`];
  });
}

function completed(completes: Completes): string {
  return typeof completes === "string" ? `kind=${completes}` : `choices=(${completes.join(" ")})`;
}
