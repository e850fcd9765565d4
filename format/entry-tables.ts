import type { SidecarEntry } from "./entry.ts";
import { GrowingBuffer } from "./growing-buffer.ts";
import { encodeXattrs } from "./xattr-set.ts";

/** Distinct byte strings in the order of their first use, as a bin of bytes and a bin of end offsets. */
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

/** The distinct rows of modeTable and of the xattr sets that they name, in the order of their first use. */
export class ModeTable {
  readonly bytes: GrowingBuffer = new GrowingBuffer();
  readonly xattrs: StringTable = new StringTable();
  readonly #rows = new Map<string, number>();
  /** The last row of each mode. The next entry with that mode nearly always needs the same row. */
  readonly #recent = new Map<number, ModeRow>();

  get rows(): number {
    return this.#rows.size;
  }

  row({ mode, uid, gid, rdevMajor, rdevMinor, xattrs }: ModeFields): number {
    const set = xattrs.length === 0 ? 0 : 1 + this.xattrs.row(encodeXattrs(xattrs));
    const recent = this.#recent.get(mode);
    if (
      recent &&
      recent.uid === uid &&
      recent.gid === gid &&
      recent.set === set &&
      recent.major === rdevMajor &&
      recent.minor === rdevMinor
    )
      return recent.row;
    const key = `${mode} ${uid} ${gid} ${rdevMajor} ${rdevMinor} ${set}`;
    let row = this.#rows.get(key);
    if (row === undefined) {
      row = this.#rows.size;
      this.#rows.set(key, row);
      for (const value of [mode, uid, gid, rdevMajor, rdevMinor, set]) this.bytes.u32(value);
    }
    this.#recent.set(mode, { uid, gid, major: rdevMajor, minor: rdevMinor, set, row });
    return row;
  }
}

type ModeFields = Pick<SidecarEntry, "mode" | "uid" | "gid" | "rdevMajor" | "rdevMinor" | "xattrs">;

interface ModeRow {
  readonly uid: number;
  readonly gid: number;
  readonly major: number;
  readonly minor: number;
  readonly set: number;
  readonly row: number;
}
