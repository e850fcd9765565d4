/** What the names of one hard-link group share: the entry that brought it, and what later hard links made of its attributes. */
import type { ByteString } from "../bytes.ts";
import type { Xattr } from "../tar/entry.ts";
import type { EntryRow } from "./entry-table.ts";
import type { StoredFile } from "./part.ts";

type Attributes = Pick<EntryRow, "mode" | "uid" | "gid" | "mtime" | "mtimeNs" | "xattrs">;

/** As containerd and docker make the parents that no entry names: 0755 root root; their time is settled when an image is composed. */
const IMPLIED: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0, mtimeNs: 0, xattrs: [] };

export class Inode {
  readonly kind: Exclude<EntryRow["kind"], "hardlink" | "ignored">;
  /** Undefined for a directory that no entry names. */
  readonly #entry: EntryRow | undefined;
  #changed: Attributes | undefined;
  #restored: StoredFile | undefined;

  /** `entry` is of a kind that has an inode of its own. */
  constructor(entry: EntryRow | undefined) {
    this.#entry = entry;
    this.kind = entry ? (entry.kind as Inode["kind"]) : "directory";
  }

  get mode(): number {
    return this.kind === "symlink" ? 0o777 : this.#attributes.mode;
  }

  get uid(): number {
    return this.#attributes.uid;
  }

  get gid(): number {
    return this.#attributes.gid;
  }

  get mtime(): number {
    return this.#attributes.mtime;
  }

  get mtimeNs(): number {
    return this.#attributes.mtimeNs;
  }

  get xattrs(): readonly Xattr[] {
    return this.#attributes.xattrs;
  }

  get devMajor(): number {
    return this.#entry?.devMajor ?? 0;
  }

  get devMinor(): number {
    return this.#entry?.devMinor ?? 0;
  }

  get size(): number {
    return this.#entry?.size ?? 0;
  }

  /** Target of a symlink; empty otherwise. */
  get target(): ByteString {
    return this.kind === "symlink" ? this.#entry!.linkPath : ("" as ByteString);
  }

  /** The content, made with the attributes of the entry that brought it unless `restore` said otherwise. */
  get stored(): StoredFile | undefined {
    return this.#restored ?? this.#entry?.stored;
  }

  /** True while hard links have changed the attributes under which the content is stored. */
  get altered(): boolean {
    return this.#changed !== undefined && this.#restored === undefined;
  }

  /** True when hard links have given it further names, which later entries may have replaced. */
  get linked(): boolean {
    return this.#linked;
  }
  #linked = false;

  /** The header of a hard link speaks of the inode: containerd applies owner, mode, xattrs and time to it, and so do we. */
  link({ mode, uid, gid, mtime, mtimeNs, xattrs: added }: EntryRow): void {
    this.#linked = true;
    const old = this.xattrs;
    const xattrs = mergeXattrs(old, added);
    const owned = (this.kind === "symlink" || this.mode === mode) && this.uid === uid && this.gid === gid;
    if (owned && this.mtime === mtime && this.mtimeNs === mtimeNs && xattrs === old) return;
    this.#changed = { mode, uid, gid, mtime, mtimeNs, xattrs };
  }

  /** The content is stored once more, under the attributes it ended with. */
  restore(stored: StoredFile): void {
    this.#restored = stored;
  }

  get #attributes(): Attributes {
    return this.#changed ?? this.#entry ?? IMPLIED;
  }
}

function mergeXattrs(old: readonly Xattr[], added: readonly Xattr[]): readonly Xattr[] {
  const merged = new Map(old.map((xattr) => [xattr.name, xattr]));
  if (added.every(({ name, value }) => merged.get(name)?.value === value)) return old;
  for (const xattr of added) merged.set(xattr.name, xattr);
  return [...merged.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
