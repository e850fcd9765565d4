/** Enforces a store's budget after pulls, in the background. Pulls that end during a collection cause one more, not one each. */
import type { GcParts } from "../gc/gc-parts.ts";
import { messageOf } from "../errors.ts";
import type { GcResult } from "../gc/gc-result.ts";
import { notifyUser } from "../system/user-callback.ts";

export interface BudgetOptions {
  readonly maxBytes: number;
  readonly keepYoungerMs: number | undefined;
  /** Called with what was removed, if anything was. */
  readonly onEvicted: ((result: GcResult) => void) | undefined;
}

export class BudgetKeeper {
  readonly #context: GcParts;
  readonly #options: BudgetOptions;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(context: GcParts, options: BudgetOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Starts a check. Returns at once. */
  check(): void {
    this.#again = true;
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Resolves when no check is running. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { maxBytes, keepYoungerMs, onEvicted } = this.#options;
    while (this.#again) {
      this.#again = false;
      try {
        const { collectGarbage } = await import("../gc/collect-garbage.ts");
        const result = await collectGarbage(this.#context, { keepBytes: maxBytes, keepYoungerMs });
        if (result.images.length > 0 || result.layers.length > 0) notifyUser("onEvicted", () => onEvicted?.(result));
      } catch (error) {
        this.#context.warn("ERROR", `enforcing the store's budget failed; the next pull tries again: ${messageOf(error)}`);
      }
    }
  }
}
