/**
 * The merged view of an image: its layers stacked, computed from their sidecars alone. A directory of the view consists of the directories of
 * one or several layers (its *parts*). A name is looked up in these from top to bottom; a whiteout, an opaque directory or another kind of
 * file ends the search. A lookup decodes only the pages that it touches.
 */
import { Flag, type Sidecar } from "../../format/index.ts";
import type { ByteString } from "../bytes.ts";
import { S_IFDIR, S_IFMT } from "../store/profile.ts";
import { hides } from "../tree/compose.ts";

/** An entry of a layer; layer 0 is the bottom. */
export interface Part {
  readonly layer: number;
  readonly entry: number;
}

/** A name in the merged view; `layer` and `entry` are those of the uppermost layer that has it. */
export interface MergedNode extends Part {
  /** Bytes without leading slash; "" is the root. */
  readonly path: ByteString;
  /** The parts of a directory, top to bottom; `layer` and `entry` come first. Empty for other files. */
  readonly parts: readonly Part[];
}

export class MergedView {
  /** Bottom to top. */
  readonly sidecars: readonly Sidecar[];
  readonly root: MergedNode;

  /** The caller closes the sidecars; `sidecars` has at least one. */
  constructor(sidecars: readonly Sidecar[]) {
    this.sidecars = sidecars;
    const parts: Part[] = [];
    for (let layer = sidecars.length - 1; layer >= 0; layer--) {
      parts.push({ layer, entry: 0 });
      if (this.#flag({ layer, entry: 0 }, Flag.opaque)) break;
    }
    this.root = { ...parts[0]!, path: "" as ByteString, parts };
  }

  /** Looks up a name in a directory of the view. */
  child(directory: MergedNode, name: ByteString): MergedNode | undefined {
    const path = joined(directory.path, name);
    const parts: Part[] = [];
    for (const { layer } of directory.parts) {
      const entry = this.sidecars[layer]!.lookup(path);
      if (entry < 0) continue;
      const found = { layer, entry };
      if (!this.#isDirectory(found)) {
        if (parts.length > 0 || this.#flag(found, Flag.whiteout)) break;
        return { ...found, path, parts };
      }
      parts.push(found);
      if (this.#flag(found, Flag.opaque)) break;
    }
    return parts.length > 0 ? { ...parts[0]!, path, parts } : undefined;
  }

  /** All names in a directory, sorted by their bytes. */
  children(directory: MergedNode): MergedNode[] {
    const names = new Map<ByteString, Found>();
    for (const { layer } of directory.parts) {
      const sidecar = this.sidecars[layer]!;
      const range = sidecar.readdir(directory.path);
      if (!range) continue;
      for (let entry = range.first; entry < range.end; entry++) this.#add(names, sidecar.name(entry) as ByteString, { layer, entry });
    }
    const sorted = [...names].filter(([, { node }]) => node !== undefined).sort(([a], [b]) => (a < b ? -1 : 1));
    return sorted.map(([name, { node, parts }]) => ({ ...node!, path: joined(directory.path, name), parts }));
  }

  /** Every name: the root first, a directory before its content. */
  *walk(): Generator<MergedNode, void, undefined> {
    const todo: MergedNode[] = [this.root];
    for (let node = todo.pop(); node; node = todo.pop()) {
      yield node;
      if (node.parts.length === 0) continue;
      const children = this.children(node);
      for (let at = children.length - 1; at >= 0; at--) todo.push(children[at]!);
    }
  }

  /**
   * The entry with a name's attributes. For a directory that the upper layers only imply, it is that of the nearest lower layer that has an
   * entry for it, even if an upper layer emptied the directory. containerd does the same, and so does the composition of trees.
   */
  attributesOf({ layer, entry, parts, path }: MergedNode): Part {
    const named = parts.find((part) => !this.#flag(part, Flag.implicit));
    if (named || parts.length === 0) return named ?? { layer, entry };
    for (let lower = parts.at(-1)!.layer - 1; lower >= 0; lower--) {
      const found = { layer: lower, entry: this.sidecars[lower]!.lookup(path) };
      if (found.entry < 0) {
        if (hides(this.sidecars[lower]!, path)) break;
      } else if (!this.#isDirectory(found)) break;
      else if (!this.#flag(found, Flag.implicit)) return found;
    }
    return { layer, entry };
  }

  #add(names: Map<ByteString, Found>, name: ByteString, part: Part): void {
    const known = names.get(name);
    if (known?.ended) return;
    const directory = this.#isDirectory(part);
    const ended = !directory || this.#flag(part, Flag.opaque);
    if (known) {
      if (directory) known.parts.push(part);
      known.ended = ended;
    } else names.set(name, { node: this.#flag(part, Flag.whiteout) ? undefined : part, parts: directory ? [part] : [], ended });
  }

  #isDirectory({ layer, entry }: Part): boolean {
    return (this.sidecars[layer]!.mode(entry) & S_IFMT) === S_IFDIR;
  }

  #flag({ layer, entry }: Part, flag: number): boolean {
    return (this.sidecars[layer]!.flags(entry) & flag) !== 0;
  }
}

interface Found {
  /** Undefined if the uppermost layer with the name deletes it. */
  readonly node: Part | undefined;
  readonly parts: Part[];
  /** True if lower layers are hidden. */
  ended: boolean;
}

function joined(directory: ByteString, name: ByteString): ByteString {
  return directory === "" ? name : (`${directory}/${name}` as ByteString);
}
