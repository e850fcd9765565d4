/** The inode of a hard-link group: the entry that created it, and its attributes after later hard links. */
import type { Xattr } from "../../../format/entry.ts";
import type { EntryRow, EntryTable } from "./entry-table.ts";
import type { StoredFile } from "./part.ts";

export type Attributes = Pick<EntryRow, "mode" | "uid" | "gid" | "mtime" | "mtimeNs" | "xattrs">;

export class Inode {
  /** The entry that created it; neither a hard link nor a directory. */
  readonly row: number;
  readonly #entries: EntryTable;
  #changed: Attributes | undefined;
  #restored: StoredFile | undefined;

  constructor(row: number, entries: EntryTable) {
    this.row = row;
    this.#entries = entries;
  }

  /** The attributes after all hard links; the mode of a symlink has no meaning. */
  get attributes(): Attributes {
    return this.#changed ?? this.#entries.row(this.row);
  }

  /** True while hard links have changed the attributes under which the content is stored. */
  get altered(): boolean {
    return this.#changed !== undefined && this.#restored === undefined;
  }

  /** What `restore` was given. */
  get restored(): StoredFile | undefined {
    return this.#restored;
  }

  /** The header of a hard link applies to the inode: owner, mode, xattrs and time, as in containerd. */
  link({ mode, uid, gid, mtime, mtimeNs, xattrs: added }: EntryRow): void {
    const old = this.attributes;
    const xattrs = mergeXattrs(old.xattrs, added);
    const owned = (this.#entries.kind(this.row) === "symlink" || old.mode === mode) && old.uid === uid && old.gid === gid;
    if (owned && old.mtime === mtime && old.mtimeNs === mtimeNs && xattrs === old.xattrs) return;
    this.#changed = { mode, uid, gid, mtime, mtimeNs, xattrs };
  }

  /** Records that the content was stored again with the final attributes. */
  restore(stored: StoredFile): void {
    this.#restored = stored;
  }
}

function mergeXattrs(old: readonly Xattr[], added: readonly Xattr[]): readonly Xattr[] {
  const merged = new Map(old.map((xattr) => [xattr.name, xattr]));
  if (added.every(({ name, value }) => merged.get(name)?.value === value)) return old;
  for (const xattr of added) merged.set(xattr.name, xattr);
  return [...merged.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
