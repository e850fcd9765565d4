const WIDE = /[^\0-\xff]/;

/** A buffer to append to. It doubles when it is full. */
export class GrowingBuffer {
  #bytes: Buffer;
  #length = 0;

  constructor(expected = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(expected, 16));
  }

  get length(): number {
    return this.#length;
  }

  /** A view of the appended bytes. It is valid until the next append. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  u8(value: number): void {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
  }

  u16(value: number): void {
    const at = this.#reserve(2);
    this.#bytes.writeUInt16LE(value, at);
  }

  u32(value: number): void {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32LE(value, at);
  }

  u48(value: number): void {
    const at = this.#reserve(6);
    this.#bytes.writeUIntLE(value, at, 6);
  }

  /** A signed integer below 2^53 as i64. */
  i64(value: number): void {
    const at = this.#reserve(8);
    this.#bytes.writeUInt32LE(value >>> 0, at);
    this.#bytes.writeInt32LE(Math.floor(value / 2 ** 32), at + 4);
  }

  /** The bytes of a byte string. */
  latin1(text: string): void {
    if (WIDE.test(text)) throw new RangeError("write sidecar: a string has a character above U+00FF");
    const at = this.#reserve(text.length);
    this.#bytes.write(text, at, "latin1");
  }

  bytes(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** Makes room for `length` bytes and returns their position. It may replace `#bytes`. */
  #reserve(length: number): number {
    const at = this.#length;
    if (at + length > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, at + length));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    this.#length = at + length;
    return at;
  }
}
