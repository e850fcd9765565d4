/** A few seconds of fuzzing with a new seed each time, and every seed that ever failed. */
import { test } from "node:test";
import { fuzz } from "./fuzz.ts";
import { Random } from "./random.ts";
import { TARGETS } from "./targets/all.ts";

const SEED: number = Math.floor(Math.random() * 2 ** 32);

/** Seeds by target. */
const FOUND: Readonly<Record<string, readonly number[]>> = { sidecar: [777_729_347], reference: [3_055_528_510] };

for (const target of TARGETS) {
  test(`fuzzing: ${target.name} holds for half a second from seed ${SEED}`, async () => {
    await fuzz(target, { seed: SEED, milliseconds: 500 });
  });

  for (const seed of FOUND[target.name] ?? []) {
    test(`fuzzing: ${target.name} holds for seed ${seed}, which failed once`, async () => {
      await target.run(new Random(seed));
    });
  }
}
