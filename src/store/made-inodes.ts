/**
 * The inodes that the workers of one handle have made in the current run, in shared memory: a worker need not look for an inode that
 * another has made. An inode in the set was made; one that was made may be missing from the set.
 */
import type { InodeId } from "./ids.ts";

const SLOTS: number = 1 << 18;
/** One word for the number of inodes, then two words per slot. */
const WORDS: number = 1 + 2 * SLOTS;
/** Most inodes in the set. With more, lookups become slower than a check on the disk. */
const MOST: number = (SLOTS / 4) * 3;
const PROBES = 64;

export class MadeInodes {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(WORDS * 4)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** Distinguishes ids by 80 bits. */
  add(id: InodeId): void {
    const words = this.#words;
    if (Atomics.load(words, 0) >= MOST) return;
    const [first, second] = [word(id, 0), word(id, 4)];
    for (let probe = 0; probe < PROBES; probe++) {
      const at = slot(id, probe);
      const found = Atomics.compareExchange(words, at, 0, first);
      if (found === 0) {
        Atomics.store(words, at + 1, second);
        Atomics.add(words, 0, 1);
        return;
      }
      if (found === first && Atomics.load(words, at + 1) === second) return;
    }
  }

  has(id: InodeId): boolean {
    const words = this.#words;
    const [first, second] = [word(id, 0), word(id, 4)];
    for (let probe = 0; probe < PROBES; probe++) {
      const at = slot(id, probe);
      const found = Atomics.load(words, at);
      if (found === 0) return false;
      if (found === first && Atomics.load(words, at + 1) === second) return true;
    }
    return false;
  }

  clear(): void {
    if (Atomics.load(this.#words, 0) > 0) this.#words.fill(0);
  }
}

function slot(id: InodeId, probe: number): number {
  return 1 + 2 * ((number(id, 8) + probe) & (SLOTS - 1));
}

/** Returns a value other than 0, which marks a free slot. */
function word(id: InodeId, at: number): number {
  return number(id, at) | 1;
}

function number(id: InodeId, at: number): number {
  return id[at]! | (id[at + 1]! << 8) | (id[at + 2]! << 16) | (id[at + 3]! << 24);
}
