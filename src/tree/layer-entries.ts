/** The live entries of a layer, grouped by how a tree writer creates them. Computed in one pass over whole columns. */
import { Flag, type Sidecar } from "../../format/index.ts";
import { NO_ROW } from "../../format/columns.ts";
import type { WholeColumns } from "../../format/whole-columns.ts";
import { S_IFDIR, S_IFMT, S_IFREG } from "../store/profile.ts";

/** Each list is in file order: parents before children. */
export class LayerEntries {
  /** All except the root. */
  readonly directories: Uint32Array;
  /** Regular files with or without content; of a hard-link group only the leader. */
  readonly files: Uint32Array;
  /** The files that have content. */
  readonly linked: Uint32Array;
  /** Symlinks, devices and FIFOs; of a hard-link group only the leader. */
  readonly specials: Uint32Array;
  /** Whiteouts and opaque directories. */
  readonly markers: Uint32Array;
  /** Directories that no entry of the tar names. */
  readonly implied: Uint32Array;

  constructor(sidecar: Sidecar, columns: WholeColumns) {
    const kinds = kindsOf(sidecar, columns);
    this.directories = select(kinds, DIRECTORY);
    this.files = select(kinds, FILE);
    this.linked = select(kinds, LINKED);
    this.specials = select(kinds, SPECIAL);
    this.markers = select(kinds, MARKER);
    this.implied = select(kinds, IMPLIED);
  }
}

const DIRECTORY = 1;
const FILE = 2;
const LINKED = 4;
const SPECIAL = 8;
const MARKER = 16;
const IMPLIED = 32;

/** For each live entry, a bit for each list that contains it. */
function kindsOf(sidecar: Sidecar, { flags, modeRows, chunks }: WholeColumns): Uint8Array {
  const kinds = new Uint8Array(sidecar.live);
  const byRow = Uint8Array.from({ length: sidecar.modeCount }, (_, row) => kindOfType(sidecar.modeAt(row).mode & S_IFMT));
  for (let entry = 0; entry < kinds.length; entry++) {
    const flag = flags[entry]!;
    const isFurtherName = (flag & Flag.hardLink) !== 0 && sidecar.leader(entry) !== entry;
    let kind = isFurtherName ? 0 : byRow[modeRows[entry]!]!;
    if (kind === FILE && chunks[entry] !== NO_ROW) kind |= LINKED;
    if ((flag & (Flag.whiteout | Flag.opaque)) !== 0) kind |= MARKER;
    if ((flag & Flag.implicit) !== 0) kind |= IMPLIED;
    kinds[entry] = kind;
  }
  kinds[0]! &= ~DIRECTORY;
  return kinds;
}

/** 0 for a whiteout. */
function kindOfType(type: number): number {
  if (type === S_IFDIR) return DIRECTORY;
  if (type === S_IFREG) return FILE;
  return type === 0 ? 0 : SPECIAL;
}

function select(kinds: Uint8Array, kind: number): Uint32Array {
  const entries = new Uint32Array(kinds.length);
  let count = 0;
  for (let entry = 0; entry < kinds.length; entry++) if ((kinds[entry]! & kind) !== 0) entries[count++] = entry;
  return entries.slice(0, count);
}

/** The entries of a list from `from` to `to`, not included. */
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
