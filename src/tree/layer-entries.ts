/** The live entries of a layer by what it takes to make them, found in one walk over whole columns. */
import { Flag, type Sidecar } from "../../format/index.ts";
import { NO_ROW } from "../../format/columns.ts";
import type { WholeColumns } from "../../format/whole-columns.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../store/profile.ts";

/** Each list is in file order: parents before children. */
export class LayerEntries {
  /** All but the root. */
  readonly directories: Uint32Array;
  /** Regular files, with content or without; of a hard-link group the leader alone. */
  readonly files: Uint32Array;
  /** Those of them that have content. */
  readonly linked: Uint32Array;
  /** Symlinks, devices, FIFOs; of a hard-link group the leader alone. */
  readonly specials: Uint32Array;
  /** Whiteouts and opaque directories. */
  readonly markers: Uint32Array;
  /** Directories that no entry of the tar names. */
  readonly implied: Uint32Array;

  constructor(sidecar: Sidecar, { flags, modeRows, chunks }: WholeColumns) {
    const types = Uint16Array.from({ length: sidecar.modeCount }, (_, row) => sidecar.modeAt(row).mode & S_IFMT);
    const directories = new EntryList(sidecar.live);
    const files = new EntryList(sidecar.live);
    const linked = new EntryList(sidecar.live);
    const specials = new EntryList(sidecar.live);
    const markers = new EntryList(sidecar.live);
    const implied = new EntryList(sidecar.live);
    for (let entry = 0; entry < sidecar.live; entry++) {
      const type = types[modeRows[entry]!]!;
      const flag = flags[entry]!;
      if ((flag & (Flag.whiteout | Flag.opaque)) !== 0) markers.add(entry);
      if ((flag & Flag.implicit) !== 0) implied.add(entry);
      if (type === S_IFDIR) {
        if (entry > 0) directories.add(entry);
      } else if (type !== 0 && ((flag & Flag.hardLink) === 0 || sidecar.leader(entry) === entry)) {
        if (type !== S_IFREG) specials.add(entry);
        else {
          files.add(entry);
          if (chunks[entry] !== NO_ROW) linked.add(entry);
        }
      }
    }
    this.directories = directories.entries();
    this.files = files.entries();
    this.linked = linked.entries();
    this.specials = specials.entries();
    this.markers = markers.entries();
    this.implied = implied.entries();
  }
}

/** Those of a list that are at least `from` and less than `to`. */
export function within(list: Uint32Array, from: number, to: number): Uint32Array {
  return list.subarray(firstFrom(list, from), firstFrom(list, to));
}

function firstFrom(list: Uint32Array, entry: number): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]! < entry) low = middle + 1;
    else high = middle;
  }
  return low;
}

class EntryList {
  readonly #entries: Uint32Array;
  #length = 0;

  constructor(capacity: number) {
    this.#entries = new Uint32Array(capacity);
  }

  add(entry: number): void {
    this.#entries[this.#length++] = entry;
  }

  entries(): Uint32Array {
    return this.#entries.slice(0, this.#length);
  }
}
