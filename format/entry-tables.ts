import type { SidecarEntry } from "./entry.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { encodeXattrs } from "./xattr-set.ts";

/** Byte strings, each distinct one once, in the order of first use: a bin of bytes and a bin of end offsets. */
export class StringTable {
  readonly bytes: GrowingBuffer = new GrowingBuffer();
  readonly ends: GrowingBuffer = new GrowingBuffer();
  readonly #rows = new Map<string, number>();

  row(text: string): number {
    let row = this.#rows.get(text);
    if (row === undefined) {
      row = this.#rows.size;
      this.#rows.set(text, row);
      this.bytes.latin1(text);
      this.ends.u32(this.bytes.length);
    }
    return row;
  }
}

/** The modeTable and the xattr sets it names, each distinct row once, in the order of first use. */
export class ModeTable {
  readonly bytes: GrowingBuffer = new GrowingBuffer();
  readonly xattrs: StringTable = new StringTable();
  readonly #rows = new Map<string, number>();

  get rows(): number {
    return this.#rows.size;
  }

  row(entry: SidecarEntry): number {
    const set = entry.xattrs.length === 0 ? 0 : 1 + this.xattrs.row(encodeXattrs(entry.xattrs));
    const key = `${entry.mode} ${entry.uid} ${entry.gid} ${entry.rdevMajor} ${entry.rdevMinor} ${set}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = this.#rows.size;
      this.#rows.set(key, row);
      for (const value of [entry.mode, entry.uid, entry.gid, entry.rdevMajor, entry.rdevMinor, set]) this.bytes.u32(value);
    }
    return row;
  }
}
