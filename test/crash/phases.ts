/** The phases that are interrupted, each with its initial store. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { run } from "../support/run.ts";
import { Actor, type Order } from "./actor.ts";
import type { World } from "./world.ts";

export const PHASES = ["pull", "force", "materialize", "gc", "remove", "session", "export", "rootfs", "repair", "index"] as const;
/** `profiles` makes trees in profiles other than the native one, which need copies of their own. */
export type Phase = (typeof PHASES)[number] | "profiles";

/** The orders of a phase, and the preparation of its store, which starts with `keep`. */
export function ordersOf(
  phase: Phase,
  store: string,
  { images }: World,
): { readonly before: readonly Order[]; readonly work: readonly Order[] } {
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
    case "profiles":
      return { before: [pull], work: OTHER_PROFILES.map((profile) => ({ ...pull, options: { profile, pullPolicy: "never" } })) };
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
    case "index":
      return { before: [], work: [{ kind: "pull", store, reference: images.keep.reference, options: { pullPolicy: "never" } }] };
    case "repair":
      return { before: [pull], work: [{ kind: "fsck", store, repair: true }] };
  }
}

/** A profile other than the native one of the stores. */
export const OTHER_PROFILES = ["oci", "userxattr"] as const;

/** How `keep` is pulled: without the path index, so the next pull rewrites its sidecars. */
export const UNINDEXED = { buildIndex: false };

/** One template store per phase, made on demand and copied for each round. */
export class Templates {
  readonly #world: World;
  readonly #directory: string;
  readonly #made = new Map<Phase, Promise<string>>();

  /** `directory` is on the same disk as the stores of the rounds. */
  constructor(world: World, directory: string) {
    this.#world = world;
    this.#directory = directory;
  }

  async copy(phase: Phase, store: string): Promise<void> {
    const made = this.#made.get(phase) ?? this.#make(phase);
    this.#made.set(phase, made);
    await run("cp", ["-a", await made, store]);
  }

  async #make(phase: Phase): Promise<string> {
    await using actor = await Actor.start();
    const store = join(this.#directory, `template-${phase}`);
    await actor.get({ kind: "pull", store, reference: this.#world.images.keep.reference, options: UNINDEXED });
    for (const order of ordersOf(phase, store, this.#world).before) await actor.get(order);
    await actor.get({ kind: "close", store });
    // the catalog is made again in its next session, and a repair has something to repair
    if (phase === "session") rmSync(join(store, "db"), { recursive: true });
    if (phase === "repair") await damage(store);
    return store;
  }
}

async function damage(store: string): Promise<void> {
  const script =
    'f=$(find chunks -type f -size +8k -links +1 | sort | head -n1); rm -f "$f"; rm -rf db; rm -rf "trees/$(ls trees | head -n1)/bin"';
  await run("sh", ["-c", script], { cwd: store });
}
