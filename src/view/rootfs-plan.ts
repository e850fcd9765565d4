/** The plan of a merged root file system: its names in order, each with its layer and entry. */
import { Flag, type Sidecar } from "../../format/index.ts";
import type { ByteString } from "../bytes.ts";
import type { ModificationTime } from "../store/attributes.ts";
import type { PhysicalAttributes } from "../store/profile.ts";
import { TreePlan, type TreeTask } from "../tree/tree-plan.ts";
import { MergedView, type Part } from "./merged-view.ts";

/** How the content of files is written to the destination. */
export type RootfsMode = "link" | "reflink" | "copy";

export interface RootfsTask extends Omit<TreeTask, "sidecar" | "resolution" | "vouchedBefore" | "made"> {
  /** Bottom to top. */
  readonly layers: readonly Pick<TreeTask, "sidecar" | "resolution" | "vouchedBefore">[];
  readonly mode: RootfsMode;
  /** Copy a file that cannot be reflinked. */
  readonly fallback: boolean;
}

export class RootfsPlan {
  readonly task: RootfsTask;
  /** Other names of hard-link groups: each with the name that is created first. */
  readonly lateLinks: readonly (readonly [number, number])[];
  readonly #plans: readonly TreePlan[];
  readonly #layers: number[] = [];
  readonly #entries: number[] = [];
  /** The attributes of directories that layers only imply. */
  readonly #named = new Map<number, Part>();
  readonly #late = new Set<number>();

  /** The caller closes the sidecars. */
  constructor(task: RootfsTask, sidecars: readonly Sidecar[]) {
    this.task = task;
    this.#plans = task.layers.map((layer, index) => new TreePlan({ ...task, ...layer }, sidecars[index]!));
    const view = new MergedView(sidecars);
    for (const node of view.walk()) {
      const source = view.attributesOf(node);
      if (source.layer !== node.layer) this.#named.set(this.#layers.length, { layer: source.layer, entry: source.entry });
      this.#layers.push(node.layer);
      this.#entries.push(node.entry);
    }
    this.lateLinks = this.#groupLinks();
    for (const [index] of this.lateLinks) this.#late.add(index);
  }

  /** Number of names. Name 0 is the root; a directory precedes its content. */
  get length(): number {
    return this.#layers.length;
  }

  layer(index: number): number {
    return this.#layers[index]!;
  }

  /** In the layer. */
  entry(index: number): number {
    return this.#entries[index]!;
  }

  plan(index: number): TreePlan {
    return this.#plans[this.layer(index)]!;
  }

  pathOf(index: number): ByteString {
    return this.plan(index).pathOf(this.entry(index));
  }

  isLate(index: number): boolean {
    return this.#late.has(index);
  }

  attributes(index: number): PhysicalAttributes {
    const { layer, entry } = this.#source(index);
    return this.#plans[layer]!.attributes(entry);
  }

  time(index: number): ModificationTime {
    const { layer, entry } = this.#source(index);
    return this.#plans[layer]!.time(entry);
  }

  #source(index: number): Part {
    return this.#named.get(index) ?? { layer: this.layer(index), entry: this.entry(index) };
  }

  /** Upper layers may hide some names of a hard-link group: the first visible name is created, the others are linked to it. */
  #groupLinks(): (readonly [number, number])[] {
    const first = this.#plans.map(() => new Map<number, number>());
    const links: (readonly [number, number])[] = [];
    for (let index = 0; index < this.length; index++) {
      const plan = this.plan(index);
      if (!plan.flag(this.entry(index), Flag.hardLink)) continue;
      const leader = plan.sidecar.leader(this.entry(index));
      const known = first[this.layer(index)]!.get(leader);
      if (known === undefined) first[this.layer(index)]!.set(leader, index);
      else links.push([index, known]);
    }
    return links;
  }
}
