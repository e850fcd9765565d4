/** What is interrupted: each phase with the store that it begins with. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../support/run.ts";
import { Actor, type Order } from "./actor.ts";
import type { World } from "./world.ts";

export const PHASES = ["pull", "force", "materialize", "gc", "remove", "session", "export", "rootfs", "repair"] as const;
export type Phase = (typeof PHASES)[number];

/** The orders of a phase, and how its store is made ready, from one that has `keep`. */
export function ordersOf(phase: Phase, store: string, { images }: World): { readonly before: readonly Order[]; readonly work: readonly Order[] } {
  const { reference, layers } = images.target;
  const pull: Order = { kind: "pull", store, reference };
  const remove: Order = { kind: "remove", store, references: [reference] };
  switch (phase) {
    case "pull":
      return { before: [], work: [pull] };
    case "force":
      return { before: [pull], work: [{ ...pull, options: { force: true } }] };
    case "materialize":
      return { before: [{ ...pull, options: { materialize: "lazy" } }], work: [{ kind: "materialize", store, reference }] };
    case "gc":
      return { before: [pull, remove], work: [{ kind: "gc", store }] };
    case "remove":
      return { before: [pull], work: [remove, { kind: "gc", store }, pull] };
    case "session":
      return { before: [pull], work: [{ kind: "usage", store }] };
    case "export":
      return { before: [pull], work: [{ kind: "export", store, diffIds: layers.map(({ diffId }) => diffId) }] };
    case "rootfs":
      return {
        before: [{ ...pull, options: { materialize: "lazy" } }],
        work: [{ kind: "rootfs", store, reference, destination: `${store}-rootfs` }],
      };
    case "repair":
      return { before: [pull], work: [{ kind: "fsck", store, repair: true }] };
  }
}

/** Makes one store for each phase, to be copied for each round. */
export async function makeTemplates(world: World, directory: string): Promise<Readonly<Record<Phase, string>>> {
  const templates: Partial<Record<Phase, string>> = {};
  await using actor = await Actor.start();
  for (const phase of PHASES) {
    const store = join(directory, `template-${phase}`);
    await actor.get({ kind: "pull", store, reference: world.images.keep.reference });
    for (const order of ordersOf(phase, store, world).before) await actor.get(order);
    await actor.get({ kind: "close", store });
    // the chunk index is made again in its session; a repair has something to repair
    if (phase === "session") rmSync(join(store, "db"), { recursive: true });
    if (phase === "repair") await damage(store);
    templates[phase] = store;
  }
  return templates as Record<Phase, string>;
}

async function damage(store: string): Promise<void> {
  const script = 'f=$(find chunks -type f -size +8k -links +1 | sort | head -n1); rm -f "$f"; rm -rf db; rm -rf "trees/$(ls trees | head -n1)/bin"';
  await run("sh", ["-c", script], { cwd: store });
}

/** A store of a round's own. */
export async function copyStore(template: string, store: string): Promise<void> {
  await run("cp", ["-a", template, store]);
}
