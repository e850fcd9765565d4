/**
 * The memory for uncompressed bytes: a fixed set of 1 MiB slabs, shared by all workers. A slab is free; being filled by the inflating worker;
 * passed, in order, to another worker that follows the layer; or ready: it has complete entries whose files any worker may create. Recycling
 * slabs avoids page faults and bounds the memory.
 */

export const SLAB_BYTES: number = 1024 * 1024;
export const SLAB_COUNT = 16;

const EVENT = 0;
const FREE = 1;
const READY = 2;
const INFLATING = 3;
const CONTROL_BYTES = 64;
/** For each filled slab: content, layer, sequence number, end of its bytes, offset in the layer (high and low word). */
const FIELDS = 6;
/** For each worker: the number of slabs it has taken and was passed, and a ring of their numbers with room for all slabs. */
const TAKEN = 0;
const PUT = 1;
const QUEUE: number = 2 + SLAB_COUNT;

export interface SlabMemory {
  readonly control: SharedArrayBuffer;
  readonly slabs: SharedArrayBuffer;
}

/** The content of a slab: see `CONTENTS`. */
export type SlabContent = (typeof CONTENTS)[number];

/**
 * Complete entries; a piece of an entry larger than a slab (the first piece starts with the headers); the last piece; the bytes after the
 * archive's end; the end of the layer.
 */
const CONTENTS = ["entries", "piece", "last-piece", "rest", "end"] as const;

/** The bytes of a slab before `end`. */
export interface FilledSlab {
  readonly slab: number;
  readonly content: SlabContent;
  readonly layer: number;
  /** Position among the layer's parts, from 0; equal for the pieces of one entry. */
  readonly sequence: number;
  readonly end: number;
  /** Offset of the slab's first byte in the uncompressed layer. */
  readonly offset: number;
}

/** For workers number 0 to `workers` - 1. */
export function createSlabMemory(workers: number): SlabMemory {
  const control = new SharedArrayBuffer(CONTROL_BYTES + (SLAB_COUNT * FIELDS + workers * QUEUE) * 4);
  new Int32Array(control)[FREE] = (1 << SLAB_COUNT) - 1;
  return { control, slabs: new SharedArrayBuffer(SLAB_BYTES * SLAB_COUNT) };
}

export class Slabs {
  readonly #control: Int32Array;
  readonly #fields: Int32Array;
  readonly #queues: Int32Array;
  readonly #bytes: Buffer[];

  constructor(memory: SlabMemory) {
    this.#control = new Int32Array(memory.control, 0, CONTROL_BYTES / 4);
    this.#fields = new Int32Array(memory.control, CONTROL_BYTES, SLAB_COUNT * FIELDS);
    this.#queues = new Int32Array(memory.control, CONTROL_BYTES + SLAB_COUNT * FIELDS * 4);
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

  /** Queues a slab for `worker`. Only one worker may pass slabs to it. */
  pass(filled: FilledSlab, worker: number): void {
    this.#describe(filled);
    const queue = worker * QUEUE;
    const put = Atomics.load(this.#queues, queue + PUT);
    this.#queues[queue + 2 + (put % SLAB_COUNT)] = filled.slab;
    Atomics.store(this.#queues, queue + PUT, (put + 1) % (2 * SLAB_COUNT));
    this.changed();
  }

  /** Called by `worker` itself. */
  takePassed(worker: number): FilledSlab | undefined {
    const queue = worker * QUEUE;
    const taken = Atomics.load(this.#queues, queue + TAKEN);
    if (taken === Atomics.load(this.#queues, queue + PUT)) return undefined;
    const slab = this.#queues[queue + 2 + (taken % SLAB_COUNT)]!;
    Atomics.store(this.#queues, queue + TAKEN, (taken + 1) % (2 * SLAB_COUNT));
    return this.#filled(slab);
  }

  /** Makes a slab ready for any worker. */
  publish(filled: FilledSlab): void {
    this.#describe(filled);
    Atomics.or(this.#control, READY, 1 << filled.slab);
    this.changed();
  }

  takeReady(): FilledSlab | undefined {
    const slab = this.#take(READY);
    return slab < 0 ? undefined : this.#filled(slab);
  }

  get readyCount(): number {
    let bits = Atomics.load(this.#control, READY);
    let count = 0;
    for (; bits !== 0; bits &= bits - 1) count++;
    return count;
  }

  /** Number of layers that all workers are inflating. */
  get inflating(): number {
    return Atomics.load(this.#control, INFLATING);
  }

  addInflating(count: 1 | -1): void {
    Atomics.add(this.#control, INFLATING, count);
  }

  /** Pass it to `wait`. Read it before looking for work: a change in between then ends the wait at once. */
  get eventCount(): number {
    return Atomics.load(this.#control, EVENT);
  }

  changed(): void {
    Atomics.add(this.#control, EVENT, 1);
    Atomics.notify(this.#control, EVENT);
  }

  /** Waits for a change. `not-equal`: there was one already. */
  wait(seen: number, milliseconds: number): "ok" | "not-equal" | "timed-out" {
    return Atomics.wait(this.#control, EVENT, seen, milliseconds);
  }

  #describe({ slab, content, layer, sequence, end, offset }: FilledSlab): void {
    this.#fields.set([CONTENTS.indexOf(content), layer, sequence, end, Math.floor(offset / 2 ** 32), offset | 0], slab * FIELDS);
  }

  #filled(slab: number): FilledSlab {
    const fields = this.#fields.subarray(slab * FIELDS, slab * FIELDS + FIELDS) as unknown as number[];
    const [content, layer, sequence, end, high, low] = fields;
    return { slab, content: CONTENTS[content!]!, layer: layer!, sequence: sequence!, end: end!, offset: high! * 2 ** 32 + (low! >>> 0) };
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
