/**
 * What one tree must be, entry by entry: where each stands, the attributes of its inode, and for a file with content the link
 * source. Whoever writes a tree and whoever checks one go by this.
 */
import { NO_ROW } from "../../format/columns.ts";
import { Flag, type Sidecar } from "../../format/index.ts";
import { toByteString, type ByteString } from "../bytes.ts";
import type { ModificationTime } from "../store/attributes.ts";
import { ABSENT, type Placing } from "../store/placing.ts";
import { physicalAttributes, S_IFDIR, S_IFMT, S_IFREG, type Owner, type PhysicalAttributes, type Profile } from "../store/profile.ts";
import { isLeader, LayerInodes, pathOf } from "./layer-inodes.ts";
import type { LayerEntries } from "./layer-entries.ts";
import type { LinkSource } from "./link-source.ts";
import type { Resolution, ResolvedDirectory } from "./resolution.ts";
import type { TrustTerms } from "./source-trust.ts";

export interface TreeTask {
  /** Of the layer. */
  readonly sidecar: string;
  /** The tree's directory: to be made in staging, or to be checked. */
  readonly tree: string;
  readonly chunks: string;
  /** Where missing link sources are made. */
  readonly staging: string;
  readonly profile: Profile;
  readonly native: Profile;
  readonly owner: Owner;
  readonly resolution: Resolution;
  readonly trust: TrustTerms;
  /** Of the layer: see LinkSource. */
  readonly vouchedBefore: number;
  /** Memory of MadeInodes, for a layer that this very pull has ingested. */
  readonly made?: SharedArrayBuffer | undefined;
  /** What the tree has already: the Placing of each live entry, a byte each. Undefined: the directory `tree` is not there yet. */
  readonly placed?: SharedArrayBuffer | undefined;
}

const EPOCH: ModificationTime = { mtime: 0, mtimeNs: 0 };

export class TreePlan {
  readonly task: TreeTask;
  readonly sidecar: Sidecar;
  readonly #root: ByteString;
  readonly #inodes: LayerInodes;
  readonly #native: LayerInodes;
  /** Where the resolution says another than the layer. */
  readonly #ordinals: ReadonlyMap<number, number>;
  readonly #directories: ReadonlyMap<ByteString, ResolvedDirectory>;
  readonly #placed: Uint8Array | undefined;
  /** The directory that was asked for last: its row, and the place of what is in it less the name. */
  #directory = -1;
  #prefix = "";

  /** `inodes` of this layer in this profile, if they were worked out before. */
  constructor(task: TreeTask, sidecar: Sidecar, inodes: LayerInodes = new LayerInodes(sidecar, task.profile, task.owner)) {
    this.task = task;
    this.sidecar = sidecar;
    this.#root = toByteString(task.tree);
    this.#inodes = inodes;
    this.#native = task.profile === task.native ? this.#inodes : new LayerInodes(sidecar, task.native, task.owner);
    this.#ordinals = new Map(task.resolution.files.map(({ path, ordinal }) => [this.#leaderOf(sidecar.lookup(path)), ordinal]));
    this.#directories = new Map(task.resolution.directories.map((directory) => [directory.path, directory]));
    this.#placed = task.placed && new Uint8Array(task.placed);
  }

  /** Live entries by what they are. */
  get entries(): LayerEntries {
    return this.#inodes.entries;
  }

  place(entry: number): ByteString {
    if (entry === 0) return this.#root;
    const row = this.sidecar.directoryOf(entry);
    if (row !== this.#directory) {
      const path = this.sidecar.directoryPath(row);
      this.#prefix = path === "" ? `${this.#root}/` : `${this.#root}/${path}/`;
      this.#directory = row;
    }
    return `${this.#prefix}${this.sidecar.name(entry)}` as ByteString;
  }

  isDirectory(entry: number): boolean {
    return this.type(entry) === S_IFDIR;
  }

  /** S_IFMT bits that the image says; 0 for a whiteout. */
  type(entry: number): number {
    return this.sidecar.mode(entry) & S_IFMT;
  }

  flag(entry: number, flag: number): boolean {
    return (this.sidecar.flags(entry) & flag) !== 0;
  }

  /** A regular file with content. */
  isLinked(entry: number): boolean {
    return this.hasContent(entry) && this.type(entry) === S_IFREG;
  }

  /** The same of what is known to be a regular file. */
  hasContent(entry: number): boolean {
    return this.#inodes.columns.chunks[entry] !== NO_ROW;
  }

  /** Neither directory nor regular file nor whiteout: symlinks, devices, FIFOs. */
  isSpecial(entry: number): boolean {
    const type = this.type(entry);
    return type !== 0 && type !== S_IFREG && type !== S_IFDIR;
  }

  /** What the tree has of it already. */
  placing(entry: number): Placing {
    return (this.#placed?.[entry] ?? ABSENT) as Placing;
  }

  /** The first name of a hard-link group, or a file that is in none. */
  isLeader(entry: number): boolean {
    return isLeader(this.sidecar, entry);
  }

  /** Of a linked file: which of the equal files of its image it is, from 0. */
  ordinal(entry: number): number {
    const { flags } = this.#inodes.columns;
    const leader = (flags[entry]! & Flag.hardLink) === 0 ? entry : this.#leaderOf(entry);
    return this.#ordinals.get(leader) ?? this.#inodes.ordinals.get(leader) ?? 0;
  }

  /** Of a linked file. */
  source(entry: number): LinkSource {
    const { columns } = this.#inodes;
    const inode = this.#inodes.inodeByColumns(entry);
    return {
      inode,
      ordinal: this.ordinal(entry),
      size: columns.sizes[entry]!,
      attributes: this.#inodes.attributesAt(columns.modeRows[entry]!),
      mtime: columns.mtimes[entry]!,
      mtimeNs: columns.mtimesNs[entry]!,
      vouchedBefore: this.task.vouchedBefore,
      native: () => (this.#native === this.#inodes ? inode : this.#native.inode(entry)),
      chunk: () => columns.chunkId(columns.chunks[entry]!),
    };
  }

  attributes(entry: number): PhysicalAttributes {
    const resolved = this.#directories.size > 0 ? this.#directories.get(pathOf(this.sidecar, entry)) : undefined;
    if (!resolved) return this.#inodes.attributes(entry);
    const logical = { ...resolved, mode: S_IFDIR | resolved.mode, rdevMajor: 0, rdevMinor: 0 };
    return physicalAttributes(this.task.profile, logical, this.task.owner);
  }

  /** An implied directory takes the epoch, or no two images would share its tree. */
  time(entry: number): ModificationTime {
    if (this.flag(entry, Flag.implicit)) return EPOCH;
    return { mtime: this.sidecar.mtime(entry), mtimeNs: this.sidecar.mtimeNs(entry) };
  }

  #leaderOf(entry: number): number {
    const leader = this.sidecar.leader(entry);
    return leader < 0 ? entry : leader;
  }
}

/** The name of a whiteout in the `oci` profile. */
export function ociWhiteout(path: ByteString): ByteString {
  const slash = path.lastIndexOf("/") + 1;
  return `${path.slice(0, slash)}.wh.${path.slice(slash)}` as ByteString;
}

export const OCI_OPAQUE = ".wh..wh..opq";

/** What marks a directory opaque in the profiles for overlayfs; its value is `y`. */
export const OPAQUE_XATTR: Readonly<Record<Exclude<Profile, "oci">, ByteString>> = {
  overlay: "trusted.overlay.opaque" as ByteString,
  userxattr: "user.overlay.opaque" as ByteString,
};
