/** Trees of the lower layers, made while the upper ones still come: there is time when a worker waits for bytes, or settles the last layer. */
import type { DiffId } from "../image/digest.ts";
import { composeLayers, ensureTrees, type TreesContext } from "./trees.ts";

export interface EarlyTreesOptions extends TreesContext {
  /** Bottom to top; one may stand there twice. */
  readonly diffIds: readonly DiffId[];
  /** Called at once when a tree cannot be made; none is begun after it. */
  readonly onFailure: (error: unknown) => void;
}

/** What it made is in `holds`. */
export class EarlyTrees {
  readonly #options: EarlyTreesOptions;
  readonly #ready = new Set<DiffId>();
  /** Layers, and entries of them, whose trees were begun. */
  #begun = { layers: 0, entries: 0 };
  #work: Promise<void> | undefined;

  constructor(options: EarlyTreesOptions) {
    this.#options = options;
  }

  /** The layer is in the store. */
  ready(diffId: DiffId): void {
    this.#ready.add(diffId);
    this.#begin();
  }

  /** Resolves when nothing is being made any more; begins nothing new. */
  async end(): Promise<void> {
    this.#begun.layers = this.#options.diffIds.length;
    await this.#work;
  }

  /** A tree depends on the layers below it, all of which are composed each time: so only when there is as much anew as there was. */
  #begin(): void {
    const { diffIds, core } = this.#options;
    const missing = diffIds.findIndex((diffId) => !this.#ready.has(diffId));
    const lower = diffIds.slice(0, Math.max(missing, 0));
    if (this.#work !== undefined || lower.length <= this.#begun.layers) return;
    const entries = lower.reduce((sum, diffId) => sum + (core.layers.record(diffId)?.entries ?? 0), 0);
    if (entries < 2 * this.#begun.entries) return;
    this.#begun = { layers: lower.length, entries };
    this.#work = this.#make(lower);
  }

  /** Never rejects: nobody may be waiting for it. */
  async #make(diffIds: readonly DiffId[]): Promise<void> {
    try {
      await ensureTrees(diffIds, await composeLayers(diffIds, this.#options), this.#options);
      this.#work = undefined;
      this.#begin();
    } catch (error) {
      this.#options.onFailure(error);
    }
  }
}
