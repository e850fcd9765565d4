/**
 * The memory that uncompressed bytes pass through: a fixed set of 1 MiB slabs, shared by all workers. A slab is free, being
 * filled by the worker that inflates, or ready: cut at an entry boundary, waiting for any worker to create its files.
 * Recycling them is what keeps page faults away and memory flat.
 */

export const SLAB_BYTES: number = 1024 * 1024;
export const SLAB_COUNT = 16;

const EVENT = 0;
const FREE = 1;
const READY = 2;
const CONTROL_BYTES = 64;
/** Of each ready slab: layer, sequence number, start and end of its bytes, offset in the layer (high, low word). */
const FIELDS = 6;

export interface SlabMemory {
  readonly control: SharedArrayBuffer;
  readonly slabs: SharedArrayBuffer;
}

/** Bytes [start, end) of a slab: whole entries of a layer, or what follows its last entry. */
export interface ReadySlab {
  readonly slab: number;
  readonly layer: number;
  /** Place among the layer's parts, from 0. */
  readonly sequence: number;
  readonly start: number;
  readonly end: number;
  /** Offset of `start` in the uncompressed layer. */
  readonly offset: number;
}

export function createSlabMemory(): SlabMemory {
  const control = new SharedArrayBuffer(CONTROL_BYTES + SLAB_COUNT * FIELDS * 4);
  new Int32Array(control)[FREE] = (1 << SLAB_COUNT) - 1;
  return { control, slabs: new SharedArrayBuffer(SLAB_BYTES * SLAB_COUNT) };
}

export class Slabs {
  readonly #control: Int32Array;
  readonly #fields: Int32Array;
  readonly #bytes: Buffer[];

  constructor(memory: SlabMemory) {
    this.#control = new Int32Array(memory.control, 0, CONTROL_BYTES / 4);
    this.#fields = new Int32Array(memory.control, CONTROL_BYTES);
    this.#bytes = Array.from({ length: SLAB_COUNT }, (_, slab) => Buffer.from(memory.slabs, slab * SLAB_BYTES, SLAB_BYTES));
  }

  bytes(slab: number): Buffer {
    return this.#bytes[slab]!;
  }

  /** A free slab, or -1. */
  takeFree(): number {
    return this.#take(FREE);
  }

  release(slab: number): void {
    Atomics.or(this.#control, FREE, 1 << slab);
    this.changed();
  }

  publish(ready: ReadySlab): void {
    const { slab, layer, sequence, start, end, offset } = ready;
    this.#fields.set([layer, sequence, start, end, Math.floor(offset / 2 ** 32), offset | 0], slab * FIELDS);
    Atomics.or(this.#control, READY, 1 << slab);
    this.changed();
  }

  takeReady(): ReadySlab | undefined {
    const slab = this.#take(READY);
    if (slab < 0) return undefined;
    const [layer, sequence, start, end, high, low] = this.#fields.subarray(slab * FIELDS, slab * FIELDS + FIELDS) as unknown as number[];
    return { slab, layer: layer!, sequence: sequence!, start: start!, end: end!, offset: high! * 2 ** 32 + (low! >>> 0) };
  }

  get readyCount(): number {
    let bits = Atomics.load(this.#control, READY);
    let count = 0;
    for (; bits !== 0; bits &= bits - 1) count++;
    return count;
  }

  /** The number to give to `wait`: taken before looking for work, it makes a change in between end the wait at once. */
  get eventCount(): number {
    return Atomics.load(this.#control, EVENT);
  }

  changed(): void {
    Atomics.add(this.#control, EVENT, 1);
    Atomics.notify(this.#control, EVENT);
  }

  wait(seen: number, milliseconds: number): void {
    Atomics.wait(this.#control, EVENT, seen, milliseconds);
  }

  #take(set: number): number {
    for (;;) {
      const bits = Atomics.load(this.#control, set);
      if (bits === 0) return -1;
      const lowest = bits & -bits;
      if (Atomics.compareExchange(this.#control, set, bits, bits & ~lowest) === bits) return 31 - Math.clz32(lowest);
    }
  }
}
