import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { SidecarError } from "./sidecar-error.ts";
import { BLOCK } from "./columns.ts";
import type { Xxh64 } from "./xxh64.ts";

/** Where the bytes of a sidecar come from. */
export interface ByteSource {
  readonly length: number;
  /** Fills `target` from `position`, or returns a view of the same bytes. @throws SidecarError if the file has become shorter */
  read(target: () => Buffer, position: number, length: number): Buffer;
  close(): void;
}

export function bufferSource(bytes: Uint8Array): ByteSource {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    length: buffer.length,
    read: (_target, position, length) => buffer.subarray(position, position + length),
    close: () => undefined,
  };
}

/** `close` closes a file that was given by its path. The caller closes a descriptor. */
export function fileSource(file: string | number): ByteSource {
  const fd = typeof file === "number" ? file : openSync(file, "r");
  const close = (): void => {
    if (fd !== file) closeSync(fd);
  };
  try {
    return { length: fstatSync(fd).size, read: (target, position, length) => readFully(fd, target(), position, length), close };
  } catch (error) {
    close();
    throw error;
  }
}

function readFully(fd: number, target: Buffer, position: number, length: number): Buffer {
  let filled = 0;
  while (filled < length) {
    const read = readSync(fd, target, filled, length - filled, position + filled);
    if (read === 0) throw new SidecarError("read sidecar: the file has become shorter", position + filled);
    filled += read;
  }
  return target.subarray(0, length);
}

export interface PagesOptions {
  readonly source: ByteSource;
  /** Bytes before the `sums` key. */
  readonly covered: number;
  /** The content of `sums`, already verified. */
  readonly sums: Buffer;
  readonly xxh64: Xxh64;
  /** Number of blocks to keep. The oldest is dropped first. */
  readonly limit: number;
}

/**
 * The bytes of a sidecar before its sums, by position. Each block is read and verified when it is first used. Callers must stay within
 * 0 to `covered`. @throws SidecarError for a block that does not match its checksum
 */
export class Pages {
  readonly #options: PagesOptions;
  readonly #blocks: (Buffer | undefined)[];
  /** The kept blocks, in a ring. A new block takes the memory of the oldest. */
  readonly #kept: number[] = [];
  #oldest = 0;
  #closed = false;

  constructor(options: PagesOptions) {
    this.#options = options;
    this.#blocks = Array.from({ length: Math.ceil(options.covered / BLOCK) });
  }

  get covered(): number {
    return this.#options.covered;
  }

  u8(position: number): number {
    return this.#block(position >>> 16)[position & 0xffff] as number;
  }

  u16(position: number): number {
    return this.u8(position) | (this.u8(position + 1) << 8);
  }

  u32(position: number): number {
    const at = position & 0xffff;
    if (at > BLOCK - 4) return this.u16(position) + this.u16(position + 2) * 65_536;
    const block = this.#block(position >>> 16);
    const low = (block[at] as number) | ((block[at + 1] as number) << 8);
    return (low | ((block[at + 2] as number) << 16) | ((block[at + 3] as number) << 24)) >>> 0;
  }

  u48(position: number): number {
    return this.u32(position) + this.u16(position + 4) * 2 ** 32;
  }

  /** An i64, rounded if it is not a safe integer. */
  i64(position: number): number {
    return this.u32(position) + (this.u32(position + 4) | 0) * 2 ** 32;
  }

  /** The bytes from `start` to before `end` as a byte string. */
  latin1(start: number, end: number): string {
    if (start === end) return "";
    const at = start & 0xffff;
    if (at + (end - start) <= BLOCK) return this.#block(start >>> 16).toString("latin1", at, at + (end - start));
    return this.copy(start, end - start).toString("latin1");
  }

  /** A copy of `length` bytes, written to the caller's memory if given. */
  copy(start: number, length: number, bytes: Buffer = Buffer.allocUnsafe(length)): Buffer {
    for (let filled = 0; filled < length;) {
      const at = (start + filled) & 0xffff;
      filled += this.#block((start + filled) >>> 16).copy(bytes, filled, at, Math.min(BLOCK, at + length - filled));
    }
    return bytes;
  }

  hex(start: number, length: number): string {
    return this.copy(start, length).toString("hex");
  }

  /** Compares the bytes from `start` to before `end` with those characters of the byte string `key`: negative, 0 or positive. */
  compare(start: number, end: number, key: string, from: number, to: number): number {
    const stop = start + Math.min(end - start, to - from);
    let next = from;
    for (let position = start; position < stop;) {
      const block = this.#block(position >>> 16);
      const base = position - (position & 0xffff);
      const last = Math.min(stop - base, BLOCK);
      for (let at = position - base; at < last; at++, next++) {
        const difference = (block[at] as number) - key.charCodeAt(next);
        if (difference !== 0) return difference;
      }
      position = base + last;
    }
    return end - start - (to - from);
  }

  /** Verifies every block. */
  verify(): void {
    for (let block = 0; block < this.#blocks.length; block++) this.#block(block);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#blocks.fill(undefined);
    this.#options.source.close();
  }

  #block(number: number): Buffer {
    return this.#blocks[number] ?? this.#load(number);
  }

  #load(number: number): Buffer {
    if (this.#closed) throw new TypeError("read sidecar: the sidecar is closed");
    const { source, covered, sums, xxh64, limit } = this.#options;
    const start = number * BLOCK;
    const evicted = this.#kept.length < limit ? undefined : this.#kept[this.#oldest];
    const memory = evicted === undefined ? undefined : this.#blocks[evicted];
    if (evicted !== undefined) this.#blocks[evicted] = undefined;
    const target = (): Buffer => (memory?.length === BLOCK ? memory : Buffer.allocUnsafeSlow(BLOCK));
    const block = source.read(target, start, Math.min(BLOCK, covered - start));
    if (xxh64(block) !== sums.readBigUInt64LE(number * 8))
      throw new SidecarError("read sidecar: a block does not have its checksum", start);
    if (evicted === undefined) this.#kept.push(number);
    else {
      this.#kept[this.#oldest] = number;
      this.#oldest = (this.#oldest + 1) % limit;
    }
    return (this.#blocks[number] = block);
  }
}
