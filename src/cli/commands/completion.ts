/** `shale completion`: prints a completion script for a shell. */
import type { Command, Context, Line } from "../command.ts";
import type { CompletedCommand } from "../completion/model.ts";
import { COMMON } from "../options.ts";
import { print } from "../print.ts";
import { showJson } from "../show.ts";
import { flag } from "../values.ts";

export const completionCommand: Command = {
  name: "completion",
  summary: "Print a completion script for a shell.",
  arguments: [{ name: "SHELL", choices: ["bash", "zsh", "fish"] }],
  options: { ...COMMON },
  json: "{ shell, script }",
  notes: ["Completes commands, options, their values, references, leases and files."],
  examples: [
    ["shale completion bash > ~/.local/share/bash-completion/completions/shale", "for bash"],
    ["shale completion zsh > ~/.zfunc/_shale", "for zsh, with ~/.zfunc in $fpath"],
    ["shale completion fish > ~/.config/fish/completions/shale.fish", "for fish"],
  ],
  run: completion,
};

async function completion({ args, values, loadCommands }: Line, context: Context): Promise<void> {
  const [shell = ""] = args;
  const { completedCommands } = await import("../completion/model.ts");
  const commands = completedCommands(await loadCommands());
  const script = await scriptFor(shell, commands);
  return print(context, flag(values, "json") ? `${showJson({ shell, script })}\n` : script);
}

async function scriptFor(shell: string, commands: readonly CompletedCommand[]): Promise<string> {
  switch (shell) {
    case "bash":
      return (await import("../completion/bash.ts")).bashCompletion(commands);
    case "zsh":
      return (await import("../completion/zsh.ts")).zshCompletion(commands);
    default:
      return (await import("../completion/fish.ts")).fishCompletion(commands);
  }
}
