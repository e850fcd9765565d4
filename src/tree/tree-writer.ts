/**
 * Writes one tree from its layer's sidecar, in staging: directories first, then files (any range of entries by any worker), then
 * all that must come last. The image's symlinks appear when nothing else is written any more, so no path is ever walked through
 * one; directories get their attributes at the very end, deepest first.
 */
import { closeSync, linkSync, mkdirSync, openSync, symlinkSync, writeSync } from "node:fs";
import { Flag, type Sidecar } from "../../format/index.ts";
import { fsPath, toByteString, toBytes, type ByteString } from "../bytes.ts";
import { applyToFile, applyToPath, processOwner, type ModificationTime } from "../store/attributes.ts";
import {
  physicalAttributes,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Owner,
  type PhysicalAttributes,
  type Profile,
} from "../store/profile.ts";
import { mknod, setPathXattr } from "../system/syscalls.ts";
import { isLeader, LayerInodes, ordinalsOf, pathOf } from "./layer-inodes.ts";
import { Linker } from "./link-source.ts";
import type { Resolution, ResolvedDirectory } from "./resolution.ts";

export interface TreeTask {
  /** Of the layer. */
  readonly sidecar: string;
  /** The tree's directory in staging; absent before `makeDirectories`. */
  readonly tree: string;
  readonly chunks: string;
  /** Where missing link sources are made. */
  readonly staging: string;
  readonly profile: Profile;
  readonly native: Profile;
  readonly owner: Owner;
  readonly resolution: Resolution;
}

const EPOCH: ModificationTime = { mtime: 0, mtimeNs: 0 };
const OPAQUE_XATTR: Readonly<Record<Exclude<Profile, "oci">, ByteString>> = {
  overlay: "trusted.overlay.opaque" as ByteString,
  userxattr: "user.overlay.opaque" as ByteString,
};

export class TreeWriter {
  readonly #task: TreeTask;
  readonly #sidecar: Sidecar;
  readonly #inodes: LayerInodes;
  readonly #native: LayerInodes;
  readonly #ordinals: Map<number, number>;
  readonly #directories: ReadonlyMap<ByteString, ResolvedDirectory>;
  readonly #linker: Linker;
  readonly #self: Owner = processOwner();
  readonly #root: ByteString;

  constructor(task: TreeTask, sidecar: Sidecar, name: string) {
    this.#task = task;
    this.#sidecar = sidecar;
    this.#root = toByteString(task.tree);
    this.#inodes = new LayerInodes(sidecar, task.profile, task.owner);
    this.#native = task.profile === task.native ? this.#inodes : new LayerInodes(sidecar, task.native, task.owner);
    this.#linker = new Linker({ chunks: task.chunks, staging: task.staging, name });
    this.#ordinals = ordinalsOf(this.#inodes);
    for (const { path, ordinal } of task.resolution.files) this.#ordinals.set(this.#leaderAt(path), ordinal);
    this.#directories = new Map(task.resolution.directories.map((directory) => [directory.path, directory]));
  }

  /** The tree's own directory and all beneath it, 0700 for now. */
  makeDirectories(): void {
    for (const { entry, path } of this.#entries(0, this.#sidecar.live))
      if (this.#type(entry) === S_IFDIR) mkdirSync(fsPath(path), { mode: 0o700 });
  }

  /** Files with content or without, among the entries [from, to). */
  makeFiles(from: number, to: number): void {
    for (const { entry, path } of this.#entries(from, to)) {
      if (this.#inodes.isLinked(entry)) this.#link(entry, path);
      else if (this.#type(entry) === S_IFREG && isLeader(this.#sidecar, entry)) this.#makeRegular(entry, path, "");
    }
  }

  /** Everything else; the tree is then complete. */
  finish(): void {
    for (const { entry, path } of this.#entries(1, this.#sidecar.live)) if (this.#isSpecial(entry)) this.#makeSpecial(entry, path);
    this.#makeMarkers();
    this.#makeLateLinks();
    this.#applyDirectories();
  }

  #link(entry: number, path: ByteString): void {
    const leader = this.#sidecar.leader(entry);
    const inode = this.#inodes.inode(entry);
    const source = {
      inode,
      ordinal: this.#ordinals.get(leader < 0 ? entry : leader) ?? 0,
      attributes: this.#inodes.attributes(entry),
      ...this.#time(entry),
      native: () => (this.#native === this.#inodes ? inode : this.#native.inode(entry)),
    };
    this.#linker.link(source, fsPath(path));
  }

  /** A fresh file of this tree alone: an empty one, or what stands for another kind of file in this profile. */
  #makeRegular(entry: number, path: ByteString, content: string): void {
    const fd = openSync(fsPath(path), "wx", 0o600);
    try {
      if (content !== "") writeSync(fd, toBytes(content as ByteString));
      applyToFile(fd, this.#inodes.attributes(entry), this.#time(entry), this.#self);
    } finally {
      closeSync(fd);
    }
  }

  /** Symlinks, devices, FIFOs: neither directory nor regular in the image. */
  #isSpecial(entry: number): boolean {
    const type = this.#type(entry);
    return type !== 0 && type !== S_IFREG && type !== S_IFDIR && isLeader(this.#sidecar, entry);
  }

  #makeSpecial(entry: number, path: ByteString): void {
    const attributes = this.#inodes.attributes(entry);
    const target = this.#sidecar.target(entry);
    switch (attributes.mode & S_IFMT) {
      case S_IFREG:
        return this.#makeRegular(entry, path, target);
      case S_IFLNK:
        symlinkSync(toBytes(target as ByteString), fsPath(path));
        break;
      default: {
        const { rdevMajor, rdevMinor } = this.#sidecar.modeAt(this.#sidecar.modeRow(entry));
        mknod(path, attributes.mode, { major: rdevMajor, minor: rdevMinor });
      }
    }
    applyToPath(path, attributes, this.#time(entry), this.#self);
  }

  /** Whiteouts and opaque directories, in the form that the profile's consumers know. */
  #makeMarkers(): void {
    const { profile } = this.#task;
    for (const { entry, path } of this.#entries(0, this.#sidecar.live)) {
      const flags = this.#sidecar.flags(entry);
      if (flags & Flag.whiteout) {
        if (profile === "oci") this.#makeMarkerFile(ociWhiteout(path));
        else mknod(path, S_IFCHR);
      }
      if (flags & Flag.opaque) {
        if (profile === "oci") this.#makeMarkerFile(`${path}/.wh..wh..opq` as ByteString);
        else setPathXattr(path, OPAQUE_XATTR[profile], "y" as ByteString);
      }
    }
  }

  #makeMarkerFile(path: ByteString): void {
    closeSync(openSync(fsPath(path), "wx", 0o600));
  }

  /** Further names of hard-link groups that have no link source in the store: symlinks, devices, empty files. */
  #makeLateLinks(): void {
    for (let row = 0; row < this.#sidecar.hardLinkCount; row++) {
      const [entry, leader] = this.#sidecar.hardLinkAt(row);
      if (entry === leader || this.#inodes.isLinked(entry)) continue;
      linkSync(fsPath(this.#place(pathOf(this.#sidecar, leader))), fsPath(this.#place(pathOf(this.#sidecar, entry))));
    }
  }

  #applyDirectories(): void {
    const directories: { entry: number; path: ByteString }[] = [];
    for (const { entry, path } of this.#entries(0, this.#sidecar.live))
      if (this.#type(entry) === S_IFDIR) directories.push({ entry, path });
    for (const { entry, path } of directories.reverse()) {
      const implied = (this.#sidecar.flags(entry) & Flag.implicit) !== 0;
      applyToPath(path, this.#directoryAttributes(entry), implied ? EPOCH : this.#time(entry), this.#self);
    }
  }

  #directoryAttributes(entry: number): PhysicalAttributes {
    const resolved = this.#directories.size > 0 ? this.#directories.get(pathOf(this.#sidecar, entry)) : undefined;
    if (!resolved) return this.#inodes.attributes(entry);
    const logical = { ...resolved, mode: S_IFDIR | resolved.mode, rdevMajor: 0, rdevMinor: 0 };
    return physicalAttributes(this.#task.profile, logical, this.#task.owner);
  }

  #type(entry: number): number {
    return this.#sidecar.mode(entry) & S_IFMT;
  }

  #time(entry: number): ModificationTime {
    return { mtime: this.#sidecar.mtime(entry), mtimeNs: this.#sidecar.mtimeNs(entry) };
  }

  #leaderAt(path: ByteString): number {
    const entry = this.#sidecar.lookup(path);
    const leader = this.#sidecar.leader(entry);
    return leader < 0 ? entry : leader;
  }

  /** Live entries in file order with their places in the tree. */
  *#entries(from: number, to: number): Generator<{ entry: number; path: ByteString }> {
    for (let entry = from; entry < to; entry++) yield { entry, path: this.#place(pathOf(this.#sidecar, entry)) };
  }

  #place(path: ByteString): ByteString {
    return path === "" ? this.#root : (`${this.#root}/${path}` as ByteString);
  }
}

function ociWhiteout(path: ByteString): ByteString {
  const slash = path.lastIndexOf("/") + 1;
  return `${path.slice(0, slash)}.wh.${path.slice(slash)}` as ByteString;
}
