/** What the names of one hard-link group share: the entry that brought it, and what later hard links made of its attributes. */
import type { Xattr } from "../../tar/entry.ts";
import type { EntryRow, EntryTable } from "./entry-table.ts";
import type { StoredFile } from "./part.ts";

export type Attributes = Pick<EntryRow, "mode" | "uid" | "gid" | "mtime" | "mtimeNs" | "xattrs">;

export class Inode {
  /** The entry that brought it, of a kind that has an inode of its own, and no directory. */
  readonly row: number;
  readonly #entries: EntryTable;
  #changed: Attributes | undefined;
  #restored: StoredFile | undefined;

  constructor(row: number, entries: EntryTable) {
    this.row = row;
    this.#entries = entries;
  }

  /** As hard links have left them; a symlink's mode means nothing. */
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

  /** The header of a hard link speaks of the inode: containerd applies owner, mode, xattrs and time to it, and so do we. */
  link({ mode, uid, gid, mtime, mtimeNs, xattrs: added }: EntryRow): void {
    const old = this.attributes;
    const xattrs = mergeXattrs(old.xattrs, added);
    const owned = (this.#entries.kind(this.row) === "symlink" || old.mode === mode) && old.uid === uid && old.gid === gid;
    if (owned && old.mtime === mtime && old.mtimeNs === mtimeNs && xattrs === old.xattrs) return;
    this.#changed = { mode, uid, gid, mtime, mtimeNs, xattrs };
  }

  /** The content is stored once more, under the attributes it ended with. */
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
