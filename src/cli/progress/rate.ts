/** Bytes a second over the last few seconds. */
export class Rate {
  readonly #window: number;
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];

  /** How far back it looks, in milliseconds. */
  constructor(windowMs = 3000) {
    this.#window = windowMs;
  }

  /** `bytes` since the beginning, at `at` milliseconds. */
  add(at: number, bytes: number): void {
    this.#samples.push({ at, bytes });
    while (this.#samples.length > 2 && (this.#samples[0]?.at ?? at) < at - this.#window) this.#samples.shift();
  }

  /** Milliseconds between the moments that it is made of. */
  get span(): number {
    return (this.#samples.at(-1)?.at ?? 0) - (this.#samples[0]?.at ?? 0);
  }

  /** Undefined until two moments are known. */
  get perSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || last.at <= first.at) return undefined;
    return (Math.max(0, last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }
}
