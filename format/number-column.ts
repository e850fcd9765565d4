/** What becomes a bin of the file: a Buffer, or a column that is laid out only where it will stand. */
export interface BinContent {
  readonly length: number;
  copy(target: Buffer, at: number): unknown;
}

/** Bytes of each row in the file. */
export type NumberWidth = 1 | 2 | 4 | 6 | 8;

export interface NumberColumnOptions {
  readonly width: NumberWidth;
  readonly rows: number;
  /** Where row 0 stands in the array, and how far apart rows are; default: the array is the column. */
  readonly first?: number;
  readonly stride?: number;
}

/** One column of an array that holds rows of numbers, as little-endian integers: unsigned ones, or of eight bytes signed ones below 2^53. */
export class NumberColumn implements BinContent {
  readonly length: number;
  readonly #values: Float64Array | Uint32Array | Uint8Array;
  readonly #options: NumberColumnOptions;

  constructor(values: Float64Array | Uint32Array | Uint8Array, options: NumberColumnOptions) {
    this.#values = values;
    this.#options = options;
    this.length = options.rows * options.width;
  }

  copy(target: Buffer, at: number): void {
    const { width, first = 0, stride = 1 } = this.#options;
    const values = this.#values;
    let from = first;
    for (let to = at; to < at + this.length; to += width, from += stride) {
      const value = values[from] as number;
      target[to] = value;
      if (width === 1) continue;
      target[to + 1] = value >>> 8;
      if (width === 2) continue;
      target[to + 2] = value >>> 16;
      target[to + 3] = value >>> 24;
      if (width === 4) continue;
      const high = Math.floor(value / 2 ** 32);
      target[to + 4] = high;
      target[to + 5] = high >>> 8;
      if (width === 6) continue;
      target[to + 6] = high >>> 16;
      target[to + 7] = high >>> 24;
    }
  }
}
