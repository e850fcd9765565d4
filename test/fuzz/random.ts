/** Numbers that follow from a seed alone (mulberry32), and what fuzzing makes of them. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to `end` - 1. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % end;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  list<T>(most: number, make: () => T): T[] {
    return Array.from({ length: this.below(most + 1) }, make);
  }

  text(most: number, alphabet: string): string {
    return this.list(most, () => alphabet[this.below(alphabet.length)]).join("");
  }
}

const MARKS: readonly number[] = [0, 1, 0x20, 0x2f, 0x30, 0x37, 0x7f, 0x80, 0xff];

/** A few changes to a copy: bytes flipped, set, cut out, doubled, moved, or the end cut off. */
export function mutate(bytes: Buffer, random: Random): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let left = 1 + random.below(4); left > 0 && result.length > 0; left--) result = mutateOnce(result, random);
  return result;
}

function mutateOnce(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length);
  const length = Math.min(1 + random.below(random.once(4) ? 600 : 9), bytes.length - at);
  switch (random.below(6)) {
    case 0:
      bytes[at] = bytes[at]! ^ (1 << random.below(8));
      return bytes;
    case 1:
      return bytes.fill(random.pick(MARKS), at, at + length);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 3:
      return Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
    case 4:
      bytes.copyWithin(random.below(bytes.length), at, at + length);
      return bytes;
    default:
      return random.once(3) ? bytes.subarray(0, at) : bytes.fill(random.below(256), at, at + 1);
  }
}
