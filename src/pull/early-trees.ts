/** Creates trees of the lower layers while the upper ones are still being fetched: workers are idle while they wait for bytes. */
import type { DiffId } from "../image/digest.ts";
import { composeLayers, ensureTrees, type TreesContext } from "./trees.ts";

export interface EarlyTreesOptions extends TreesContext {
  /** Bottom to top; a layer may occur twice. */
  readonly diffIds: readonly DiffId[];
  /** Called at once when a tree cannot be created; no other is started after that. */
  readonly onFailure: (error: unknown) => void;
}

/** The locks of the trees it created are in `holds`. */
export class EarlyTrees {
  readonly #options: EarlyTreesOptions;
  readonly #ready = new Set<DiffId>();
  /** The layers, and their entries, whose trees were started. */
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

  /** Starts no further tree; resolves when the running work has ended. */
  async end(): Promise<void> {
    this.#begun.layers = this.#options.diffIds.length;
    await this.#work;
  }

  /** Each start composes all lower layers again, so it waits until the number of entries has doubled: the total stays linear. */
  #begin(): void {
    const { diffIds, store } = this.#options;
    const missing = diffIds.findIndex((diffId) => !this.#ready.has(diffId));
    const lower = diffIds.slice(0, Math.max(missing, 0));
    if (this.#work !== undefined || lower.length <= this.#begun.layers) return;
    const entries = lower.reduce((sum, diffId) => sum + (store.layers.record(diffId)?.entries ?? 0), 0);
    if (entries < 2 * this.#begun.entries) return;
    this.#begun = { layers: lower.length, entries };
    this.#work = this.#make(lower);
  }

  /** Never rejects, since it may not be awaited. */
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
