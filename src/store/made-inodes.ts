/**
 * The inodes that the workers of one handle have made in the run at hand, in memory that they share: what one has made the other need
 * not look for. It may forget; what it says is there was made.
 */
import type { InodeId } from "./ids.ts";

const SLOTS: number = 1 << 18;
/** The first word counts; then two for each slot. */
const WORDS: number = 1 + 2 * SLOTS;
/** Beyond this many, looking is cheaper than remembering. */
const MOST: number = (SLOTS / 4) * 3;
const PROBES = 64;

export class MadeInodes {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(WORDS * 4)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** 80 bits of the id tell one inode from another. */
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

/** Never 0, which says that nothing is there. */
function word(id: InodeId, at: number): number {
  return number(id, at) | 1;
}

function number(id: InodeId, at: number): number {
  return id[at]! | (id[at + 1]! << 8) | (id[at + 2]! << 16) | (id[at + 3]! << 24);
}
