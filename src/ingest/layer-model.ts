/**
 * A layer as its entries leave it: an in-memory tree of byte names, built in tar order. Later entries win over earlier ones, a
 * symlink as parent is followed inside this tree and never by the kernel, whiteouts act on lower layers only. Knows no disk.
 * Rules: OCI image-spec layer.md; where readers disagree, containerd's.
 */
import { showBytes, type ByteString } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import { classifyName, isBelowWhiteout, normalizePath } from "../tar/entry-path.ts";
import { layerLimitError } from "./layer-limits.ts";
import type { EntryRow } from "./entry-table.ts";
import { Inode } from "./layer-inode.ts";

/** A name in the tree. */
export class Node {
  readonly name: ByteString;
  /** Undefined while it is a hard link whose target has not come yet. */
  inode: Inode | undefined;
  /** The entry that made it what it is; -1 for a directory that no entry names. */
  row: number;
  children: Map<ByteString, Node> | undefined;
  /** Names that lower layers lose here, with the entry that says so. */
  whiteouts: Map<ByteString, number> | undefined;
  opaque = false;

  constructor(name: ByteString, inode: Inode | undefined, row: number) {
    this.name = name;
    this.inode = inode;
    this.row = row;
  }

  get isDirectory(): boolean {
    return this.inode?.kind === "directory";
  }

  child(name: ByteString): Node | undefined {
    return this.children?.get(name);
  }
}

interface PendingLink {
  readonly node: Node;
  readonly target: ByteString;
  readonly entry: EntryRow;
}

/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;
/** Following symlinks costs as many steps as their targets have components: what all entries together may take. */
const FOLLOWED = 10_000_000;
const FOLLOWED_PER_ENTRY = 100;

export class LayerModel {
  readonly root: Node = new Node("" as ByteString, new Inode(undefined), -1);
  readonly #pathDepth: number;
  readonly #parents = new Map<string, Node>();
  readonly #pending = new Map<Node, PendingLink>();
  #row = 0;
  /** Components that symlinks have added to paths. */
  #followed = 0;

  constructor({ pathDepth }: { readonly pathDepth: number }) {
    this.#pathDepth = pathDepth;
  }

  /** True when symlinks of the layer have led anywhere: then an entry may stand elsewhere than its path says. */
  get redirected(): boolean {
    return this.#followed > 0;
  }

  /** Takes the next entry of the tar. @throws TAR_INVALID, LIMIT_PATH_DEPTH */
  add(entry: EntryRow): void {
    const row = this.#row++;
    if (entry.kind === "ignored") return;
    const path = this.#normalize(entry);
    if (path === "") return this.#addRoot(entry, row);
    const slash = path.lastIndexOf("/");
    const directory = path.slice(0, Math.max(slash, 0)) as ByteString;
    const name = ownText(path.slice(slash + 1));
    if (isBelowWhiteout(path)) return;
    const meaning = classifyName(name, entry.offset);
    switch (meaning.kind) {
      case "plain":
        return this.#place(this.#parentOf(directory, entry), name, { entry, row });
      case "whiteout": {
        const parent = this.#markedDirectory(directory, entry);
        if (parent) (parent.whiteouts ??= new Map()).set(meaning.name, row);
        return;
      }
      case "opaque": {
        const parent = this.#markedDirectory(directory, entry);
        if (parent) parent.opaque = true;
        return;
      }
      case "aufs":
        return;
    }
  }

  /** The directory that a marker speaks of. Below what this layer made a file there is nothing left to hide (umoci writes such whiteouts). */
  #markedDirectory(directory: ByteString, entry: EntryRow): Node | undefined {
    const found = this.#walk(directory, entry, { imply: true });
    return found === "blocked" ? undefined : found;
  }

  /** Call after the last entry: settles hard links whose targets came later. @throws TAR_INVALID */
  finish(): void {
    for (const node of this.#pending.keys()) this.#settleChain(node);
  }

  /** Follows links to links to the first that has an inode, then gives it to all on the way; each link is settled once. */
  #settleChain(first: Node): void {
    const chain = new Set<Node>();
    let node: Node | undefined = first;
    while (node && !node.inode) {
      const link = this.#pending.get(node);
      if (!link || chain.has(node)) break;
      chain.add(node);
      node = this.#lookup(link.target, link.entry);
    }
    for (const member of [...chain].reverse()) {
      const link = this.#pending.get(member)!;
      if (!node?.inode) throw invalid(link.entry, `is a hard link to ${quote(link.target)}, which this layer does not have`);
      linkTo(node.inode, link);
      node = member;
    }
  }

  #normalize(entry: EntryRow): ByteString {
    return normalizePath(entry.path, entry.offset, { maxDepth: this.#pathDepth });
  }

  #addRoot(entry: EntryRow, row: number): void {
    if (entry.kind !== "directory") throw invalid(entry, "makes the root something other than a directory");
    this.root.inode = new Inode(entry);
    this.root.row = row;
  }

  #place(parent: Node, name: ByteString, { entry, row }: { entry: EntryRow; row: number }): void {
    const present = parent.child(name);
    if (entry.kind === "hardlink") return this.#placeLink(parent, name, { entry, row });
    if (present?.isDirectory && entry.kind === "directory") {
      present.inode = new Inode(entry);
      present.row = row;
      return;
    }
    if (entry.kind === "symlink") checkTarget(entry);
    if (entry.kind === "char" && entry.devMajor === 0 && entry.devMinor === 0)
      throw invalid(entry, "is a device 0:0, which overlayfs takes for a whiteout");
    const node = new Node(name, new Inode(entry), row);
    // the file that it replaces hid whatever lower layers have here
    node.opaque = present !== undefined && entry.kind === "directory";
    this.#put(parent, node);
  }

  #placeLink(parent: Node, name: ByteString, { entry, row }: { entry: EntryRow; row: number }): void {
    const target = normalizePath(entry.linkPath, entry.offset, { maxDepth: this.#pathDepth });
    const found = this.#lookup(target, entry);
    if (found && found === parent.child(name)) return;
    const link: PendingLink = { node: new Node(name, undefined, row), target, entry };
    if (found?.inode) linkTo(found.inode, link);
    else this.#pending.set(link.node, link);
    this.#put(parent, link.node);
  }

  #put(parent: Node, node: Node): void {
    const children = (parent.children ??= new Map());
    if (children.has(node.name)) this.#parents.clear();
    children.set(node.name, node);
  }

  /** The directory that a path of this layer names, its missing parts implied, symlinks followed within the layer. */
  #parentOf(directory: ByteString, entry: EntryRow): Node {
    const known = this.#parents.get(directory);
    if (known) return known;
    const found = this.#walk(directory, entry, { imply: true });
    if (!found || found === "blocked") throw invalid(entry, "has a parent that is no directory");
    this.#parents.set(directory, found);
    return found;
  }

  /** What a path names, a symlink in last place not followed; undefined if this layer does not have it. */
  #lookup(path: ByteString, entry: EntryRow): Node | undefined {
    const slash = path.lastIndexOf("/");
    const parent = this.#walk(path.slice(0, Math.max(slash, 0)) as ByteString, entry, { imply: false });
    if (path === "") return this.root;
    return parent === "blocked" ? undefined : parent?.child(path.slice(slash + 1) as ByteString);
  }

  #tooDeep(entry: EntryRow): ShaleError {
    const what = `has an entry ${quote(entry.path)} that symlinks lead to a deeper path`;
    return layerLimitError("LIMIT_PATH_DEPTH", what, { limit: "pathDepth", maximum: this.#pathDepth });
  }

  #walk(path: ByteString, entry: EntryRow, { imply }: { imply: boolean }): Node | "blocked" | undefined {
    const stack: Node[] = [this.root];
    const todo = splitReversed(path);
    let followed = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      const here = stack.at(-1)!;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        if (stack.length > 1) stack.pop();
        continue;
      }
      let next = here.child(name as ByteString);
      if (!next) {
        if (!imply) return undefined;
        if (name.length > 255) throw invalid(entry, "leads through a symlink to a name that is too long");
        if (stack.length > this.#pathDepth) throw this.#tooDeep(entry);
        next = new Node(ownText(name), new Inode(undefined), -1);
        (here.children ??= new Map()).set(next.name, next);
      }
      if (next.isDirectory) stack.push(next);
      else if (next.inode?.kind === "symlink") {
        if (++followed > MAX_SYMLINKS) throw invalid(entry, "leads through too many symlinks");
        if (next.inode.target.startsWith("/")) stack.length = 1;
        const target = splitReversed(next.inode.target);
        this.#followed += target.length;
        if (this.#followed > FOLLOWED + FOLLOWED_PER_ENTRY * this.#row)
          throw invalid(entry, "leads through symlinks longer than any image's");
        todo.push(...target);
      } else return "blocked";
    }
    // below a directory that is implied comes a name at least
    if (imply && followed > 0 && stack.length > this.#pathDepth) throw this.#tooDeep(entry);
    return stack.at(-1);
  }
}

/** What symlink(2) takes: a path of 1 to 4095 bytes. */
function checkTarget(entry: EntryRow): void {
  const { length } = entry.linkPath;
  if (length === 0 || length > 4095) throw invalid(entry, `is a symlink whose target has ${length} bytes, not 1 to 4095`);
}

function linkTo(inode: Inode, { node, entry }: PendingLink): void {
  if (inode.kind === "directory") throw invalid(entry, "is a hard link to a directory");
  node.inode = inode;
  inode.link(entry);
}

/** A slice of a string keeps all of it alive; a copy does not. */
function ownText(text: string): ByteString {
  return Buffer.from(text, "latin1").toString("latin1") as ByteString;
}

function splitReversed(path: string): string[] {
  return path === "" ? [] : path.split("/").reverse();
}

function invalid(entry: EntryRow, why: string): ShaleError<"TAR_INVALID"> {
  const name = showBytes(entry.path, 300);
  return new ShaleError("TAR_INVALID", `the layer's entry ${JSON.stringify(name)} ${why}; the image is malformed`, {
    offset: entry.offset,
    entry: name,
  });
}

function quote(path: ByteString): string {
  return JSON.stringify(showBytes(path, 300));
}
