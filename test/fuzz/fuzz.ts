/** Runs a target over and over, each time with a seed of its own, so that one number repeats a failure. */
import { Random } from "./random.ts";
import type { Target } from "./target.ts";

export interface FuzzResult {
  readonly runs: number;
  /** Of the slowest run. */
  readonly slowest: { readonly seed: number; readonly milliseconds: number };
}

/** A run must end: what takes longer is a failure. */
const SLOW_MS = 5000;

/** @throws Error naming the seed, with the failure as its cause */
export async function fuzz(target: Target, { seed, milliseconds }: { seed: number; milliseconds: number }): Promise<FuzzResult> {
  const end = performance.now() + milliseconds;
  let slowest = { seed, milliseconds: 0 };
  let runs = 0;
  for (; runs === 0 || performance.now() < end; runs++) {
    const own = (seed + runs) >>> 0;
    const started = performance.now();
    try {
      await target.run(new Random(own));
    } catch (error) {
      throw new Error(`${target.name} fails with seed ${own}`, { cause: error });
    }
    const took = performance.now() - started;
    if (took > slowest.milliseconds) slowest = { seed: own, milliseconds: took };
    if (took > SLOW_MS) throw new Error(`${target.name} takes ${took} ms with seed ${own}`);
  }
  return { runs, slowest };
}
