/** How far back the rate looks, in milliseconds. */
const WINDOW_MS = 3000;

/** Bytes a second over the last few seconds. */
export class Rate {
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  /** `bytes` since the beginning, at `at` milliseconds. */
  add(at: number, bytes: number): void {
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && (this.#samples[0]?.at ?? at) < at - WINDOW_MS) this.#samples.shift();
  }

  /** Undefined until two moments are known. */
  get perSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at <= first.at) return undefined;
    return (Math.max(0, last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }
}
