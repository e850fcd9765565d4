/** Pseudorandom numbers that depend only on a seed. */
import { createHash } from "node:crypto";

export class Random {
  readonly #seed: string;
  #next = 0;

  constructor(...seed: readonly unknown[]) {
    this.#seed = seed.join(" ");
  }

  /** Returns a number in [0, 1). */
  fraction(): number {
    return (
      createHash("sha256")
        .update(`${this.#seed} ${this.#next++}`)
        .digest()
        .readUIntLE(0, 6) /
      2 ** 48
    );
  }

  /** Returns an integer in [0, end). */
  integer(end: number): number {
    return Math.floor(this.fraction() * end);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.integer(from.length)]!;
  }

  bytes(length: number): Buffer {
    const blocks: Buffer[] = [];
    for (let at = 0; at < length; at += 64)
      blocks.push(
        createHash("sha512")
          .update(`${this.#seed} ${this.#next++}`)
          .digest(),
      );
    return Buffer.concat(blocks).subarray(0, length);
  }
}
