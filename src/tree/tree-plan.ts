/**
 * What one tree must be, entry by entry: where each stands, the attributes of its inode, and for a file with content the link
 * source. Whoever writes a tree and whoever checks one go by this.
 */
import { Flag, type Sidecar } from "../../format/index.ts";
import { toByteString, type ByteString } from "../bytes.ts";
import type { ModificationTime } from "../store/attributes.ts";
import { ABSENT, type Placing } from "../store/placing.ts";
import { physicalAttributes, S_IFDIR, S_IFMT, S_IFREG, type Owner, type PhysicalAttributes, type Profile } from "../store/profile.ts";
import { isLeader, LayerInodes, ordinalsOf, pathOf } from "./layer-inodes.ts";
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

export interface EntryRange {
  readonly from?: number;
  readonly to?: number;
  readonly wanted?: (entry: number) => boolean;
}

const EPOCH: ModificationTime = { mtime: 0, mtimeNs: 0 };

export class TreePlan {
  readonly task: TreeTask;
  readonly sidecar: Sidecar;
  readonly #root: ByteString;
  readonly #inodes: LayerInodes;
  readonly #native: LayerInodes;
  readonly #ordinals: Map<number, number>;
  readonly #directories: ReadonlyMap<ByteString, ResolvedDirectory>;
  readonly #placed: Uint8Array | undefined;

  constructor(task: TreeTask, sidecar: Sidecar) {
    this.task = task;
    this.sidecar = sidecar;
    this.#root = toByteString(task.tree);
    this.#inodes = new LayerInodes(sidecar, task.profile, task.owner);
    this.#native = task.profile === task.native ? this.#inodes : new LayerInodes(sidecar, task.native, task.owner);
    this.#ordinals = ordinalsOf(this.#inodes);
    for (const { path, ordinal } of task.resolution.files) this.#ordinals.set(this.#leaderOf(sidecar.lookup(path)), ordinal);
    this.#directories = new Map(task.resolution.directories.map((directory) => [directory.path, directory]));
    this.#placed = task.placed && new Uint8Array(task.placed);
  }

  /** Live entries [from, to) in file order, parents before children, with their places; making a place costs more than asking `wanted`. */
  *entries({ from = 0, to = this.sidecar.live, wanted }: EntryRange = {}): Generator<{ entry: number; path: ByteString }> {
    for (let entry = from; entry < to; entry++) if (!wanted || wanted(entry)) yield { entry, path: this.place(entry) };
  }

  place(entry: number): ByteString {
    const path = pathOf(this.sidecar, entry);
    return path === "" ? this.#root : (`${this.#root}/${path}` as ByteString);
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
    return this.#inodes.isLinked(entry);
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
    return this.#ordinals.get(this.#leaderOf(entry)) ?? 0;
  }

  /** Of a linked file. */
  source(entry: number): LinkSource {
    const inode = this.#inodes.inode(entry);
    const ordinal = this.ordinal(entry);
    const native = (): Uint8Array => (this.#native === this.#inodes ? inode : this.#native.inode(entry));
    const chunk = (): Uint8Array => this.sidecar.chunkId(this.sidecar.chunk(entry));
    const size = this.sidecar.size(entry);
    const { vouchedBefore } = this.task;
    return { inode, ordinal, size, attributes: this.#inodes.attributes(entry), ...this.time(entry), vouchedBefore, native, chunk };
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
