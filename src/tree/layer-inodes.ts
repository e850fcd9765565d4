/** Computes the inodes of a layer's files in a profile, from the sidecar. */
import type { Sidecar } from "../../format/index.ts";
import { WholeColumns } from "../../format/whole-columns.ts";
import type { ByteString } from "../bytes.ts";
import { LayerEntries } from "./layer-entries.ts";
import type { InodeId } from "../store/ids.ts";
import { encodeAttributes, inodeId } from "../store/inode.ts";
import { physicalAttributes, S_IFMT, S_IFREG, type Owner, type PhysicalAttributes, type Profile } from "../store/profile.ts";

interface Known {
  readonly attributes: PhysicalAttributes;
  readonly encoded: Buffer;
  /** The first row with equal attributes. */
  readonly same: number;
}

export class LayerInodes {
  readonly sidecar: Sidecar;
  readonly profile: Profile;
  readonly #owner: Owner;
  readonly #rows: (Known | undefined)[] = [];
  readonly #firstRows = new Map<string, number>();
  #columns: WholeColumns | undefined;
  #entries: LayerEntries | undefined;
  #ordinals: ReadonlyMap<number, number> | undefined;

  constructor(sidecar: Sidecar, profile: Profile, owner: Owner) {
    this.sidecar = sidecar;
    this.profile = profile;
    this.#owner = owner;
  }

  /** Whole columns, for walks over the whole layer. */
  get columns(): WholeColumns {
    return (this.#columns ??= new WholeColumns(this.sidecar));
  }

  /** The same. */
  get entries(): LayerEntries {
    return (this.#entries ??= new LayerEntries(this.sidecar, this.columns));
  }

  /**
   * The ordinal of each linked file within its layer, by entry; missing means 0. The k-th file of an inode in file order has ordinal k. The
   * names of a hard-link group are one file and share the leader's ordinal.
   */
  get ordinals(): ReadonlyMap<number, number> {
    return (this.#ordinals ??= ordinalsOf(this));
  }

  /** True for a regular file with content, which is linked from chunks/. */
  isLinked(entry: number): boolean {
    return this.sidecar.chunk(entry) >= 0 && (this.sidecar.mode(entry) & S_IFMT) === S_IFREG;
  }

  /** The physical attributes of an entry's inode. */
  attributes(entry: number): PhysicalAttributes {
    return this.attributesAt(this.sidecar.modeRow(entry));
  }

  /** The same by the row of the mode table. */
  attributesAt(row: number): PhysicalAttributes {
    return this.#known(row).attributes;
  }

  /** The inode id of a linked file. */
  inode(entry: number): Buffer & InodeId {
    const { sidecar } = this;
    const time = { seconds: sidecar.mtime(entry), nanoseconds: sidecar.mtimeNs(entry) };
    return inodeId(sidecar.chunkId(sidecar.chunk(entry)), time, this.#known(sidecar.modeRow(entry)).encoded);
  }

  /** The same from whole columns. */
  inodeByColumns(entry: number): Buffer & InodeId {
    const { chunks, mtimes, mtimesNs, modeRows } = this.columns;
    const time = { seconds: mtimes[entry]!, nanoseconds: mtimesNs[entry]! };
    return inodeId(this.columns.chunkId(chunks[entry]!), time, this.#known(modeRows[entry]!).encoded);
  }

  /**
   * A key that distinguishes the inode of a linked file within the layer. Uses the physical attributes, not the image's: a profile may store
   * two files with the same inode although their attributes in the image differ.
   */
  key(entry: number): string {
    const { chunks, mtimes, mtimesNs, modeRows } = this.columns;
    return `${chunks[entry]} ${mtimes[entry]} ${mtimesNs[entry]} ${this.#known(modeRows[entry]!).same}`;
  }

  #known(row: number): Known {
    const known = this.#rows[row];
    if (known) return known;
    const logical = this.sidecar.modeAt(row);
    // type 0 with content is a whiteout marker that carried data: stored as the regular file that it was
    const mode = (logical.mode & S_IFMT) === 0 ? S_IFREG | logical.mode : logical.mode;
    const attributes = physicalAttributes(this.profile, { ...logical, mode }, this.#owner);
    const encoded = encodeAttributes(attributes);
    const text = encoded.toString("latin1");
    const same = this.#firstRows.get(text) ?? row;
    this.#firstRows.set(text, same);
    return (this.#rows[row] = { attributes, encoded, same });
  }
}

function ordinalsOf(inodes: LayerInodes): Map<number, number> {
  const next = new Map<string, number>();
  const ordinals = new Map<number, number>();
  for (const entry of alikeFiles(inodes)) {
    const key = inodes.key(entry);
    const ordinal = next.get(key) ?? 0;
    next.set(key, ordinal + 1);
    if (ordinal > 0) ordinals.set(entry, ordinal);
  }
  return ordinals;
}

/** Linked files that share their content with another file of the layer. */
function alikeFiles({ sidecar, entries: { linked }, columns: { chunks } }: LayerInodes): Uint32Array {
  const uses = new Uint32Array(sidecar.chunkCount);
  for (const entry of linked) uses[chunks[entry]!]!++;
  return linked.filter((entry) => uses[chunks[entry]!]! > 1);
}

export function isLeader(sidecar: Sidecar, entry: number): boolean {
  const leader = sidecar.leader(entry);
  return leader < 0 || leader === entry;
}

/** A path of the sidecar is a byte string already. */
export function pathOf(sidecar: Sidecar, entry: number): ByteString {
  return sidecar.path(entry) as ByteString;
}
