/** All commands, in the order of help. Each is loaded when called, so that a cached pull loads no other. */
import type { Command } from "./command.ts";

export interface CommandEntry {
  readonly name: string;
  readonly load: () => Promise<Command>;
}

export const COMMANDS: readonly CommandEntry[] = [
  { name: "pull", load: async () => (await import("./commands/pull.ts")).pullCommand },
  { name: "prefetch", load: async () => (await import("./commands/prefetch.ts")).prefetchCommand },
  { name: "images", load: async () => (await import("./commands/images.ts")).imagesCommand },
  { name: "inspect", load: async () => (await import("./commands/inspect.ts")).inspectCommand },
  { name: "ls", load: async () => (await import("./commands/ls.ts")).lsCommand },
  { name: "stat", load: async () => (await import("./commands/stat.ts")).statCommand },
  { name: "cat", load: async () => (await import("./commands/cat.ts")).catCommand },
  { name: "materialize", load: async () => (await import("./commands/materialize.ts")).materializeCommand },
  { name: "dematerialize", load: async () => (await import("./commands/dematerialize.ts")).dematerializeCommand },
  { name: "rootfs", load: async () => (await import("./commands/rootfs.ts")).rootfsCommand },
  { name: "bundle", load: async () => (await import("./commands/bundle.ts")).bundleCommand },
  { name: "export", load: async () => (await import("./commands/export.ts")).exportCommand },
  { name: "mount", load: async () => (await import("./commands/mount.ts")).mountCommand },
  { name: "umount", load: async () => (await import("./commands/umount.ts")).umountCommand },
  { name: "rm", load: async () => (await import("./commands/rm.ts")).rmCommand },
  { name: "gc", load: async () => (await import("./commands/gc.ts")).gcCommand },
  { name: "pin", load: async () => (await import("./commands/pin.ts")).pinCommand },
  { name: "unpin", load: async () => (await import("./commands/pin.ts")).unpinCommand },
  { name: "lease add", load: async () => (await import("./commands/lease.ts")).leaseAddCommand },
  { name: "lease ls", load: async () => (await import("./commands/lease.ts")).leaseLsCommand },
  { name: "lease rm", load: async () => (await import("./commands/lease.ts")).leaseRmCommand },
  { name: "du", load: async () => (await import("./commands/du.ts")).duCommand },
  { name: "why", load: async () => (await import("./commands/why.ts")).whyCommand },
  { name: "fsck", load: async () => (await import("./commands/fsck.ts")).fsckCommand },
  { name: "dump-index", load: async () => (await import("./commands/dump-index.ts")).dumpIndexCommand },
  { name: "completion", load: async () => (await import("./commands/completion.ts")).completionCommand },
];

export function loadCommands(): Promise<Command[]> {
  return Promise.all(COMMANDS.map(({ load }) => load()));
}
