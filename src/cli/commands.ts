/** All commands, in the order of help. Each is loaded when it is called: a cached pull pays for no other. */
import type { Command } from "./command.ts";

export interface CommandEntry {
  readonly name: string;
  readonly load: () => Promise<Command>;
}

export const COMMANDS: readonly CommandEntry[] = [
  { name: "pull", load: async () => (await import("./commands/pull.ts")).pullCommand },
  { name: "fsck", load: async () => (await import("./commands/fsck.ts")).fsckCommand },
  { name: "dump-index", load: async () => (await import("./commands/dump-index.ts")).dumpIndexCommand },
];

export function loadCommands(): Promise<Command[]> {
  return Promise.all(COMMANDS.map(({ load }) => load()));
}
