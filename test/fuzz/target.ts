/** One thing to fuzz: `run` makes an input from the random numbers and checks what must hold for any; it throws if it does not. */
import type { Random } from "./random.ts";

export interface Target {
  readonly name: string;
  run(random: Random): void | Promise<void>;
}
