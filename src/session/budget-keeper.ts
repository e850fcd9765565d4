/** Keeps a store's budget after pulls: in the background, one collection at a time, and never twice for pulls that came meanwhile. */
import type { GcContext } from "../inspect/context.ts";
import type { GcResult } from "../gc/result.ts";

export interface BudgetOptions {
  readonly maxBytes: number;
  readonly keepYounger: number | undefined;
  /** Told what went, when anything did. */
  readonly onEvicted: ((result: GcResult) => void) | undefined;
}

export class BudgetKeeper {
  readonly #context: GcContext;
  readonly #options: BudgetOptions;
  #running: Promise<void> | undefined;
  #again = false;

  constructor(context: GcContext, options: BudgetOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** After a pull that brought something. Returns at once. */
  check(): void {
    this.#again = true;
    this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  /** Resolves when no check is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { maxBytes, keepYounger, onEvicted } = this.#options;
    while (this.#again) {
      this.#again = false;
      try {
        const { collectGarbage } = await import("../gc/collect.ts");
        const result = await collectGarbage(this.#context, { keepBytes: maxBytes, keepYounger });
        if (result.images.length > 0 || result.layers.length > 0) onEvicted?.(result);
      } catch (error) {
        this.#context.warn("ERROR", `keeping the store's budget failed, the next pull tries again: ${String(error)}`);
      }
    }
  }
}
