/** The order in which a layer's names and entries stand in its sidecar: live ones first, then what later entries replaced. */
import { Flag } from "../../format/index.ts";
import { showBytes, type ByteString } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import { normalizePath } from "../tar/entry-path.ts";
import type { EntryTable } from "./entry-table.ts";
import { layerLimitError, type LayerLimits } from "./layer-limits.ts";
import type { Node } from "./layer-model.ts";

/** A name of the finished layer, or an entry that is no more. */
export class Placed {
  /** Shared by all names in it; the whole path is put together only when it is asked for. */
  readonly #directory: string;
  readonly name: string;
  readonly node: Node | undefined;
  readonly flags: number;
  /** The entry behind it, or -1. */
  readonly row: number;

  constructor(directory: string, name: string, { node, flags, row }: Pick<Placed, "node" | "flags" | "row">) {
    this.#directory = directory;
    this.name = name;
    this.node = node;
    this.flags = flags;
    this.row = row;
  }

  get path(): string {
    return this.#directory === "" ? this.name : `${this.#directory}/${this.name}`;
  }
}

export interface PlaceOptions {
  /** Whether names are sorted by directory, for the path index; else they stand in tar order, implied directories last. */
  readonly buildIndex: boolean;
  readonly limits: Pick<LayerLimits, "metadataBytes">;
}

interface Directory {
  readonly path: string;
  readonly node: Node;
}

/** Linux: PATH_MAX without its NUL. */
const MAX_PATH = 4095;

/** Every live name, the root first of all; whiteouts that a name of this layer makes needless are left out. */
export function placeLive(root: Node, rows: EntryTable, { buildIndex, limits }: PlaceOptions): Placed[] {
  const directories = directoriesOf(root, rows, limits.metadataBytes);
  if (buildIndex) directories.sort((a, b) => byBytes(a.path, b.path));
  const live = [new Placed("", "", { node: root, flags: directoryFlags(root), row: root.row })];
  for (const directory of directories) {
    const names = namesIn(directory, rows);
    if (buildIndex) names.sort((a, b) => byBytes(a.name, b.name));
    for (const name of names) live.push(name);
  }
  return buildIndex ? live : live.sort(byRow);
}

function directoriesOf(root: Node, rows: EntryTable, metadataBytes: number): Directory[] {
  let bytes = 0;
  const found: Directory[] = [{ path: "", node: root }];
  for (let at = 0; at < found.length; at++) {
    const { path, node } = found[at]!;
    if (path.length > MAX_PATH) throw tooLong(path, rows, node.row);
    const prefix = path === "" ? "" : `${path}/`;
    // a symlink near the root makes short names long: what the archive spells costs nothing there
    bytes += prefix.length * ((node.children?.size ?? 0) + (node.whiteouts?.size ?? 0));
    if (bytes > metadataBytes) {
      throw layerLimitError("LIMIT_METADATA_BYTES", `has paths of ${bytes} bytes`, { limit: "metadataBytes", maximum: metadataBytes });
    }
    for (const child of node.children?.values() ?? [])
      if (child.children || child.whiteouts) found.push({ path: prefix + child.name, node: child });
  }
  return found;
}

function namesIn({ path: directory, node }: Directory, rows: EntryTable): Placed[] {
  const names: Placed[] = [];
  for (const [name, row] of node.whiteouts ?? []) {
    const same = node.child(name);
    if (same) same.opaque ||= same.isDirectory;
    else if (!node.opaque) names.push(new Placed(directory, name, { node: undefined, flags: Flag.whiteout, row }));
  }
  for (const child of node.children?.values() ?? []) {
    const { name, row } = child;
    if (directory.length + 1 + name.length > MAX_PATH && directory !== "") throw tooLong(`${directory}/${name}`, rows, row);
    names.push(new Placed(directory, name, { node: child, flags: child.isDirectory ? directoryFlags(child) : 0, row }));
  }
  return names;
}

function tooLong(path: string, rows: EntryTable, row: number): ShaleError<"TAR_INVALID"> {
  const entry = showBytes(path as ByteString, 300);
  const message = `the layer's entry "${entry}" has, its symlinks followed, a path of more than ${MAX_PATH} bytes; the image is malformed`;
  return new ShaleError("TAR_INVALID", message, { offset: row < 0 ? 0 : rows.row(row).offset, entry });
}

function directoryFlags(node: Node): number {
  return (node.opaque ? Flag.opaque : 0) | (node.row < 0 ? Flag.implicit : 0);
}

/** Of byte strings. */
function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Tar order, the root before all, implied directories last. */
function byRow(a: Placed, b: Placed): number {
  if (a.name === "" || b.name === "") return a.name.length - b.name.length;
  const rank = (placed: Placed): number => (placed.row < 0 ? Number.MAX_SAFE_INTEGER : placed.row);
  return rank(a) - rank(b) || (a.path < b.path ? -1 : 1);
}

/** Entries that later ones replaced, markers, and what is no file at all, in tar order. */
export function placeShadowed(rows: EntryTable, live: readonly Placed[], pathDepth: number): Placed[] {
  const isLive = new Uint8Array(rows.count);
  for (const { row } of live) if (row >= 0) isLive[row] = 1;
  const shadowed: Placed[] = [];
  for (let index = 0; index < rows.count; index++) {
    if (isLive[index]) continue;
    const { kind, path, offset } = rows.row(index);
    const name = kind === "ignored" ? path : normalizePath(path, offset, { maxDepth: pathDepth });
    shadowed.push(new Placed("", name, { node: undefined, flags: Flag.shadowed, row: index }));
  }
  return shadowed;
}
