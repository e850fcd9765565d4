/**
 * Numbers ids in order of first occurrence. Ids are digests of one length, read as words in place: a string for each file would be most of the
 * cost.
 */
export class IdTable {
  readonly #width: number;
  /** The ids back to back, in order of their numbers. */
  #ids: Uint32Array<ArrayBuffer>;
  /** Open addressing: 1 + number of an id, or 0. A power of two, at least twice the ids. */
  #slots: Int32Array;
  #count = 0;
  /** Random multipliers: an image can choose ids with equal beginnings, but not the hash. */
  readonly #first: number = oddNumber();
  readonly #second: number = oddNumber();

  /** `words`: length of each id. `expected`: estimated number of ids; more are allowed. */
  constructor(words: number, expected: number) {
    this.#width = words;
    const room = Math.max(expected, 16);
    this.#ids = new Uint32Array(room * words);
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(room * 2)));
  }

  get count(): number {
    return this.#count;
  }

  /** The ids, in order; a view. */
  get bytes(): Buffer {
    return Buffer.from(this.#ids.buffer, 0, this.#count * this.#width * 4);
  }

  /** Returns the number of the id at word `at`, and adds the id if it is new. */
  add(words: Uint32Array, at: number): number {
    const slots = this.#slots;
    const last = slots.length - 1;
    let slot = this.#slotOf(words, at);
    for (let found = slots[slot]!; found !== 0; found = slots[slot]!) {
      if (this.#is(found - 1, words, at)) return found - 1;
      slot = (slot + 1) & last;
    }
    const number = this.#count++;
    if (this.#count * 2 > slots.length || this.#count * this.#width > this.#ids.length) this.#grow();
    for (let word = 0; word < this.#width; word++) this.#ids[number * this.#width + word] = words[at + word]!;
    if (slots === this.#slots) slots[slot] = number + 1;
    else this.#enter(number);
    return number;
  }

  #is(number: number, words: Uint32Array, at: number): boolean {
    const from = number * this.#width;
    for (let word = 0; word < this.#width; word++) if (this.#ids[from + word] !== words[at + word]) return false;
    return true;
  }

  #slotOf(words: Uint32Array, at: number): number {
    const mixed = Math.imul(words[at]!, this.#first) + Math.imul(words[at + 1]!, this.#second);
    return ((mixed >>> 15) ^ mixed) & (this.#slots.length - 1);
  }

  #enter(number: number): void {
    let slot = this.#slotOf(this.#ids, number * this.#width);
    while (this.#slots[slot] !== 0) slot = (slot + 1) & (this.#slots.length - 1);
    this.#slots[slot] = number + 1;
  }

  #grow(): void {
    const ids = new Uint32Array(this.#ids.length * 2);
    ids.set(this.#ids);
    this.#ids = ids;
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let number = 0; number < this.#count - 1; number++) this.#enter(number);
  }
}

function oddNumber(): number {
  return Math.floor(Math.random() * 2 ** 32) | 1;
}
