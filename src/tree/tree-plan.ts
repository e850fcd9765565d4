/**
 * The plan of one tree: for each entry its path, the attributes of its inode, and for a file with content the link source. Writing and checking
 * a tree both use it.
 */
import { NO_ROW } from "../../format/columns.ts";
import { Flag, type Sidecar } from "../../format/index.ts";
import { toByteString, type ByteString } from "../bytes.ts";
import type { ModificationTime } from "../store/attributes.ts";
import { ABSENT, type StagedState } from "../store/staged-state.ts";
import { physicalAttributes, S_IFDIR, S_IFMT, S_IFREG, type Owner, type PhysicalAttributes, type Profile } from "../store/profile.ts";
import { isLeader, LayerInodes, pathOf } from "./layer-inodes.ts";
import type { LayerEntries } from "./layer-entries.ts";
import type { LinkSource } from "./link-source.ts";
import type { Resolution, ResolvedDirectory } from "./resolution.ts";
import type { TrustTerms } from "./link-source-trust.ts";

export interface TreeTask {
  /** Of the layer. */
  readonly sidecar: string;
  /** The tree's directory: to be created in staging, or to be checked. */
  readonly tree: string;
  readonly chunks: string;
  /** Directory in which missing link sources are created. */
  readonly staging: string;
  readonly profile: Profile;
  readonly native: Profile;
  readonly owner: Owner;
  readonly resolution: Resolution;
  readonly trust: TrustTerms;
  /** See LinkSource. */
  readonly vouchedBefore: number;
  /** Memory of MadeInodes, for a layer that this pull ingested. */
  readonly made?: SharedArrayBuffer | undefined;
  /** What a staged tree contains already: the StagedState of each live entry, one byte each. Undefined: the directory `tree` does not exist yet. */
  readonly placed?: SharedArrayBuffer | undefined;
}

const EPOCH: ModificationTime = { mtime: 0, mtimeNs: 0 };

export class TreePlan {
  readonly task: TreeTask;
  readonly sidecar: Sidecar;
  readonly #root: ByteString;
  readonly #inodes: LayerInodes;
  readonly #native: LayerInodes;
  /** Ordinals that the resolution overrides. */
  readonly #ordinals: ReadonlyMap<number, number>;
  readonly #directories: ReadonlyMap<ByteString, ResolvedDirectory>;
  readonly #placed: Uint8Array | undefined;
  /** The last directory that was asked for: its row, and the path prefix of its entries. */
  #directory = -1;
  #prefix = "";

  /** `inodes` of this layer in this profile, if they were computed before. */
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

  /** Live entries by kind. */
  get entries(): LayerEntries {
    return this.#inodes.entries;
  }

  pathOf(entry: number): ByteString {
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

  /** S_IFMT bits of the image; 0 for a whiteout. */
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

  /** The same for an entry that is known to be a regular file. */
  hasContent(entry: number): boolean {
    return this.#inodes.columns.chunks[entry] !== NO_ROW;
  }

  /** Neither directory nor regular file nor whiteout: symlinks, devices, FIFOs. */
  isSpecial(entry: number): boolean {
    const type = this.type(entry);
    return type !== 0 && type !== S_IFREG && type !== S_IFDIR;
  }

  /** How the staged tree contains the entry already. */
  state(entry: number): StagedState {
    return (this.#placed?.[entry] ?? ABSENT) as StagedState;
  }

  /** True for the first name of a hard-link group, and for a file in no group. */
  isLeader(entry: number): boolean {
    return isLeader(this.sidecar, entry);
  }

  /** The ordinal of a linked file among the equal files of its image, from 0. */
  ordinal(entry: number): number {
    const { flags } = this.#inodes.columns;
    const leader = (flags[entry]! & Flag.hardLink) === 0 ? entry : this.#leaderOf(entry);
    return this.#ordinals.get(leader) ?? this.#inodes.ordinals.get(leader) ?? 0;
  }

  /** The link source of a linked file. */
  linkSource(entry: number): LinkSource {
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

  /** An implied directory gets the epoch: otherwise no two images would share the tree. */
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

/** The attribute of an opaque directory in the profiles for overlayfs; its value is `y`. */
export const OPAQUE_XATTR: Readonly<Record<Exclude<Profile, "oci">, ByteString>> = {
  overlay: "trusted.overlay.opaque" as ByteString,
  userxattr: "user.overlay.opaque" as ByteString,
};
