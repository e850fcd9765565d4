/** The columns of fixed width while entries are added. They hold the words of the file in this machine's byte order. */
export class NumberColumns {
  pathEnd: Uint32Array<ArrayBuffer>;
  /** Three u16 per entry. */
  offset: Uint16Array<ArrayBuffer>;
  size: Uint16Array<ArrayBuffer>;
  mode: Uint32Array<ArrayBuffer>;
  /** Two u32 per entry. */
  mtime: Uint32Array<ArrayBuffer>;
  mtimeNs: Uint32Array<ArrayBuffer>;
  flags: Uint8Array<ArrayBuffer>;
  link: Uint32Array<ArrayBuffer>;
  chunk: Uint32Array<ArrayBuffer>;
  /** Number of entries that fit. */
  room: number;

  constructor(room: number) {
    this.room = room;
    this.pathEnd = new Uint32Array(room);
    this.offset = new Uint16Array(room * 3);
    this.size = new Uint16Array(room * 3);
    this.mode = new Uint32Array(room);
    this.mtime = new Uint32Array(room * 2);
    this.mtimeNs = new Uint32Array(room);
    this.flags = new Uint8Array(room);
    this.link = new Uint32Array(room);
    this.chunk = new Uint32Array(room);
  }

  /** Returns columns with twice as many rows and the same content. */
  grown(): NumberColumns {
    const grown = new NumberColumns(this.room * 2);
    grown.pathEnd.set(this.pathEnd);
    grown.offset.set(this.offset);
    grown.size.set(this.size);
    grown.mode.set(this.mode);
    grown.mtime.set(this.mtime);
    grown.mtimeNs.set(this.mtimeNs);
    grown.flags.set(this.flags);
    grown.link.set(this.link);
    grown.chunk.set(this.chunk);
    return grown;
  }
}

export const BIG_ENDIAN: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 0;

/** Returns the first `length` words in little-endian order: a view on a little-endian machine, otherwise a copy. */
export function littleEndian(words: Uint16Array | Uint32Array, length: number = words.length): Buffer {
  const width = words.BYTES_PER_ELEMENT;
  const bytes = Buffer.from(words.buffer, words.byteOffset, length * width);
  if (!BIG_ENDIAN) return bytes;
  return width === 2 ? Buffer.from(bytes).swap16() : Buffer.from(bytes).swap32();
}
