/**
 * The result of a layer's entries: an in-memory tree of byte names, built in tar order. Later entries replace earlier ones. A symlink as a parent
 * is followed within this tree, never by the kernel. Whiteouts apply to lower layers only. Uses no disk. Rules: OCI image-spec layer.md;
 * where implementations disagree, containerd's.
 */
import { showBytes, type ByteString } from "../../bytes.ts";
import { ShaleError } from "../../errors.ts";
import { classifyName, isBelowWhiteout, isOrdinaryName, MAX_PATH, normalizePath } from "../../tar/entry-path.ts";
import { layerLimitError } from "./layer-limits.ts";
import type { EntryTable } from "./entry-table.ts";
import { Inode } from "./layer-inode.ts";

/** A directory of the tree; its name is its key in its parent. */
export class Directory {
  /** The entry that defines it; -1 if no entry names it. */
  row: number;
  opaque = false;
  children: Map<ByteString, Child> | undefined;
  /** The directories among `children`: most names are files. */
  directories: Map<ByteString, Directory> | undefined;
  /** Names of lower layers that are deleted here, with their whiteout entries. */
  whiteouts: Map<ByteString, number> | undefined;

  constructor(row: number) {
    this.row = row;
  }
}

/** A directory, or the entry of another file. */
export type Child = Directory | number;

/** V8 copies shorter slices (SlicedString::kMinLength). */
const SHORTEST_SLICE = 13;
/** The kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;
/** Maximum number of components that symlinks may add to all paths together; each costs a step. */
const FOLLOWED = 10_000_000;
const FOLLOWED_PER_ENTRY = 100;

export class LayerModel {
  readonly root: Directory = new Directory(-1);
  /** The inode of each entry that shares one with other names, or did. */
  readonly inodes: ReadonlyMap<number, Inode>;
  readonly #inodes = new Map<number, Inode>();
  readonly #entries: EntryTable;
  readonly #pathDepth: number;
  /** Directories by path, both normalized and as the archive spells it. Paths below whiteouts are not included. */
  readonly #parents = new Map<string, Directory>();
  /** Hard links whose targets have not occurred yet, with the targets. */
  readonly #pending = new Map<number, ByteString>();
  #added = 0;
  /** Components that symlinks have added to paths. */
  #followed = 0;

  constructor(entries: EntryTable, { pathDepth }: { readonly pathDepth: number }) {
    this.inodes = this.#inodes;
    this.#entries = entries;
    this.#pathDepth = pathDepth;
  }

  /** True if a symlink of the layer was followed: then an entry may be at another path than its own. */
  get redirected(): boolean {
    return this.#followed > 0;
  }

  /** Adds all entries in tar order. @throws TAR_INVALID, LIMIT_PATH_DEPTH */
  build(): this {
    this.#entries.eachPath((path, row) => this.#add(path, row));
    for (const row of this.#pending.keys()) this.#settleChain(row);
    return this;
  }

  #add(path: ByteString, row: number): void {
    this.#added = row + 1;
    if (this.#entries.kind(row) === "ignored") return;
    const end = path.endsWith("/") ? path.length - 1 : path.length;
    const slash = path.lastIndexOf("/", end - 1);
    const directory = path.slice(0, Math.max(slash, 0));
    const name = path.slice(slash + 1, end) as ByteString;
    const parent = this.#parents.get(directory);
    if (parent && isOrdinaryName(name) && path.length <= MAX_PATH) return this.#place(parent, ownText(name), row);
    this.#addOther(path, row, { directory, name });
  }

  /** Adds an entry whose directory is unknown, or whose name is special. `spelled`: both as in the archive. */
  #addOther(raw: ByteString, row: number, spelled: { readonly directory: string; readonly name: string }): void {
    const path = this.#normalize(raw, row);
    if (path === "") return this.#addRoot(row);
    const slash = path.lastIndexOf("/");
    const directory = path.slice(0, Math.max(slash, 0)) as ByteString;
    const name = ownText(path.slice(slash + 1));
    if (isBelowWhiteout(path)) return;
    const meaning = classifyName(name, this.#entries.offset(row));
    switch (meaning.kind) {
      case "plain": {
        const parent = this.#parentOf(directory, row);
        // otherwise the name is empty or a dot, and the path names the directory itself
        if (spelled.name === name && spelled.directory !== directory) this.#parents.set(ownText(spelled.directory), parent);
        return this.#place(parent, name, row);
      }
      case "whiteout": {
        const parent = this.#markedDirectory(directory, row);
        if (parent) (parent.whiteouts ??= new Map()).set(meaning.name, row);
        return;
      }
      case "opaque": {
        const parent = this.#markedDirectory(directory, row);
        if (parent) parent.opaque = true;
        return;
      }
      case "aufs":
        return;
    }
  }

  /** The directory that a marker applies to. Below a path that this layer made a file, nothing remains to hide (umoci writes such whiteouts). */
  #markedDirectory(directory: ByteString, row: number): Directory | undefined {
    const found = this.#walk(directory, row, { imply: true });
    return found === "blocked" ? undefined : found;
  }

  /** Follows links to links up to one with an inode, and assigns that to all of them. Each link is resolved once. */
  #settleChain(first: number): void {
    const chain = new Set<number>();
    let child: Child | undefined = first;
    while (typeof child === "number" && this.#isUnsettled(child) && !chain.has(child)) {
      chain.add(child);
      child = this.#lookup(this.#pending.get(child)!, child);
    }
    for (const link of [...chain].reverse()) {
      if (child === undefined || (typeof child === "number" && this.#isUnsettled(child)))
        throw this.#invalid(link, `is a hard link to ${quote(this.#pending.get(link)!)}, which this layer does not have`);
      this.#linkTo(child, link);
      child = link;
    }
  }

  #normalize(path: ByteString, row: number): ByteString {
    return normalizePath(path, this.#entries.offset(row), { maxDepth: this.#pathDepth });
  }

  #addRoot(row: number): void {
    if (this.#entries.kind(row) !== "directory") throw this.#invalid(row, "makes the root something other than a directory");
    this.root.row = row;
  }

  #place(parent: Directory, name: ByteString, row: number): void {
    const kind = this.#entries.kind(row);
    if (kind === "hardlink") return this.#placeLink(parent, name, row);
    if (kind === "directory") return this.#placeDirectory(parent, name, row);
    if (kind === "symlink") this.#checkTarget(row);
    if (kind === "char") this.#checkDevice(row);
    this.#put(parent, name, row);
  }

  #placeDirectory(parent: Directory, name: ByteString, row: number): void {
    const present = parent.children?.get(name);
    if (present instanceof Directory) {
      present.row = row;
      return;
    }
    const directory = new Directory(row);
    // the replaced file hid the content of lower layers here
    directory.opaque = present !== undefined;
    this.#put(parent, name, directory);
  }

  #placeLink(parent: Directory, name: ByteString, row: number): void {
    const target = this.#normalize(this.#entries.linkPath(row), row);
    const found = this.#lookup(target, row);
    if (found !== undefined && found === parent.children?.get(name)) return;
    if (found === undefined || (typeof found === "number" && this.#isUnsettled(found))) this.#pending.set(row, target);
    else this.#linkTo(found, row);
    this.#put(parent, name, row);
  }

  #put(parent: Directory, name: ByteString, child: Child): void {
    const children = (parent.children ??= new Map<ByteString, Child>());
    const present = children.get(name);
    if (present !== undefined) this.#parents.clear();
    if (typeof child === "object") (parent.directories ??= new Map<ByteString, Directory>()).set(name, child);
    else if (typeof present === "object") parent.directories!.delete(name);
    children.set(name, child);
  }

  /** True for a hard link without an inode. */
  #isUnsettled(row: number): boolean {
    return this.#entries.kind(row) === "hardlink" && !this.#inodes.has(row);
  }

  #linkTo(target: Child, link: number): void {
    if (typeof target !== "number") throw this.#invalid(link, "is a hard link to a directory");
    let inode = this.#inodes.get(target);
    if (!inode) this.#inodes.set(target, (inode = new Inode(target, this.#entries)));
    this.#inodes.set(link, inode);
    inode.link(this.#entries.row(link));
  }

  /** The directory at a path of this layer. Missing components become implied directories; symlinks are followed within the layer. */
  #parentOf(directory: ByteString, row: number): Directory {
    const known = this.#parents.get(directory);
    if (known) return known;
    const found = this.#walk(directory, row, { imply: true });
    if (!found || found === "blocked") throw this.#invalid(row, "has a parent that is no directory");
    this.#parents.set(ownText(directory), found);
    return found;
  }

  /** What a path names, a symlink in last place not followed; undefined if this layer does not have it. */
  #lookup(path: ByteString, row: number): Child | undefined {
    const slash = path.lastIndexOf("/");
    const parent = this.#walk(path.slice(0, Math.max(slash, 0)) as ByteString, row, { imply: false });
    if (path === "") return this.root;
    return parent === "blocked" ? undefined : parent?.children?.get(path.slice(slash + 1) as ByteString);
  }

  #walk(path: ByteString, row: number, { imply }: { imply: boolean }): Directory | "blocked" | undefined {
    const stack: Directory[] = [this.root];
    const todo = splitReversed(path);
    let followed = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      const here = stack.at(-1)!;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (stack.length > 1) stack.pop();
        continue;
      }
      let next = here.children?.get(name as ByteString);
      if (next === undefined) {
        if (!imply) return undefined;
        if (name.length > 255) throw this.#invalid(row, "leads through a symlink to a name that is too long");
        if (stack.length > this.#pathDepth) throw this.#tooDeep(row);
        this.#put(here, ownText(name), (next = new Directory(-1)));
      }
      if (typeof next !== "number") {
        stack.push(next);
        continue;
      }
      const link = this.#targetOf(next);
      if (link === undefined) return "blocked";
      if (++followed > MAX_SYMLINKS) throw this.#invalid(row, "leads through too many symlinks");
      if (link.startsWith("/")) stack.length = 1;
      const target = splitReversed(link);
      this.#followed += target.length;
      if (this.#followed > FOLLOWED + FOLLOWED_PER_ENTRY * this.#added)
        throw this.#invalid(row, "leads through symlinks longer than any image's");
      todo.push(...target);
    }
    // below a directory that is implied comes a name at least
    if (imply && followed > 0 && stack.length > this.#pathDepth) throw this.#tooDeep(row);
    return stack.at(-1);
  }

  /** The target of a symlink, also where the name is a hard link to it; undefined for all else. */
  #targetOf(row: number): ByteString | undefined {
    const inode = this.#inodes.get(row)?.row ?? row;
    return this.#entries.kind(inode) === "symlink" ? this.#entries.linkPath(inode) : undefined;
  }

  /** What symlink(2) takes: a path of 1 to 4095 bytes. */
  #checkTarget(row: number): void {
    const { length } = this.#entries.linkPath(row);
    if (length === 0 || length > 4095) throw this.#invalid(row, `is a symlink whose target has ${length} bytes, not 1 to 4095`);
  }

  #checkDevice(row: number): void {
    const { devMajor, devMinor } = this.#entries.row(row);
    if (devMajor === 0 && devMinor === 0) throw this.#invalid(row, "is a device 0:0, which overlayfs takes for a whiteout");
  }

  #tooDeep(row: number): ShaleError {
    const what = `has an entry ${quote(this.#entries.path(row))} that symlinks lead to a deeper path`;
    return layerLimitError("LIMIT_PATH_DEPTH", what, { limit: "pathDepth", maximum: this.#pathDepth });
  }

  #invalid(row: number, why: string): ShaleError<"TAR_INVALID"> {
    const entry = showBytes(this.#entries.path(row), 300);
    const message = `the layer's entry ${JSON.stringify(entry)} ${why}; the image is malformed`;
    return new ShaleError("TAR_INVALID", message, { offset: this.#entries.offset(row), entry });
  }
}

/** A slice of a string keeps all of it alive; a copy does not. */
function ownText(text: string): ByteString {
  return (text.length < SHORTEST_SLICE ? text : Buffer.from(text, "latin1").toString("latin1")) as ByteString;
}

function splitReversed(path: string): string[] {
  return path === "" ? [] : path.split("/").reverse();
}

function quote(path: ByteString): string {
  return JSON.stringify(showBytes(path, 300));
}
