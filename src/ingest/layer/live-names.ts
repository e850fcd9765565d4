/** The order in which a layer's live names stand in its sidecar. */
import { Flag } from "../../../format/index.ts";
import { showBytes, type ByteString } from "../../bytes.ts";
import { ShaleError } from "../../errors.ts";
import { MAX_PATH } from "../../tar/entry-path.ts";
import type { EntryTable } from "./entry-table.ts";
import { layerLimitError, type LayerLimits } from "./layer-limits.ts";
import type { Directory } from "./layer-model.ts";

/** The names of the finished layer, by their number in its sidecar: the root first of all. */
export interface LiveNames {
  readonly count: number;
  /** How many of them have no entry behind them. */
  readonly implied: number;
  readonly names: readonly ByteString[];
  /** Of each name, the path of the directory that it is in. */
  readonly directories: readonly string[];
  /** The entry behind each name, or -1. */
  readonly rows: Int32Array;
  /** Whiteout, opaque and implicit. */
  readonly flags: Uint8Array;
}

export interface LiveNamesOptions {
  /** Whether names are sorted by directory, for the path index; else they stand in tar order, implied directories last. */
  readonly buildIndex: boolean;
  readonly limits: Pick<LayerLimits, "metadataBytes">;
}

interface PlacedDirectory {
  readonly path: string;
  readonly node: Directory;
}

/** Every live name; whiteouts that a name of this layer makes needless are left out. */
export function collectLiveNames(root: Directory, entries: EntryTable, { buildIndex, limits }: LiveNamesOptions): LiveNames {
  const directories = directoriesOf(root, entries, limits.metadataBytes);
  const live = new StagedState(namesIn(directories));
  live.add("", "" as ByteString, root.row, directoryFlags(root));
  for (const directory of buildIndex ? sortByPath(directories) : directories) placeNames(directory, live, { entries, buildIndex });
  return buildIndex ? live.done() : inTarOrder(live, entries.count);
}

/** Live names as they are found. */
class StagedState {
  count = 0;
  implied = 0;
  readonly names: ByteString[] = [];
  readonly directories: string[] = [];
  readonly rows: Int32Array;
  readonly flags: Uint8Array;

  /** `room`: at most so many will come. */
  constructor(room: number) {
    this.rows = new Int32Array(room);
    this.flags = new Uint8Array(room);
  }

  add(directory: string, name: ByteString, row: number, flags: number): void {
    this.names.push(name);
    this.directories.push(directory);
    if (row < 0) this.implied++;
    this.rows[this.count] = row;
    this.flags[this.count++] = flags;
  }

  done(): LiveNames {
    const { count, implied, names, directories, rows, flags } = this;
    return { count, implied, names, directories, rows: rows.subarray(0, count), flags };
  }
}

function directoriesOf(root: Directory, entries: EntryTable, metadataBytes: number): PlacedDirectory[] {
  let bytes = 0;
  const found: PlacedDirectory[] = [{ path: "", node: root }];
  for (let at = 0; at < found.length; at++) {
    const { path, node } = found[at]!;
    if (path.length > MAX_PATH) throw tooLong(path, entries, node.row);
    const prefix = joinPath(path, "");
    // a symlink near the root makes short names long: what the archive spells costs nothing there
    bytes += prefix.length * ((node.children?.size ?? 0) + (node.whiteouts?.size ?? 0));
    if (bytes > metadataBytes) {
      throw layerLimitError("LIMIT_METADATA_BYTES", `has paths of ${bytes} bytes`, { limit: "metadataBytes", maximum: metadataBytes });
    }
    if (!node.directories) continue;
    for (const [name, child] of node.directories) if (child.children || child.whiteouts) found.push({ path: prefix + name, node: child });
  }
  return found;
}

/** At most, the root's own included. */
function namesIn(directories: readonly PlacedDirectory[]): number {
  let names = 1;
  for (const { node } of directories) names += (node.children?.size ?? 0) + (node.whiteouts?.size ?? 0);
  return names;
}

/** Sorting strings alone needs no call for each comparison. */
function sortByPath(directories: readonly PlacedDirectory[]): PlacedDirectory[] {
  const byPath = new Map(directories.map((directory) => [directory.path, directory]));
  return [...byPath.keys()].sort().map((path) => byPath.get(path)!);
}

function placeNames(
  directory: PlacedDirectory,
  live: StagedState,
  { entries, buildIndex }: { entries: EntryTable; buildIndex: boolean },
): void {
  const { path, node } = directory;
  const { children, whiteouts } = node;
  const names = children ? [...children.keys()] : [];
  if (children && path.length + 256 > MAX_PATH) checkLengths(directory, entries);
  for (const name of whiteouts?.keys() ?? []) {
    const same = children?.get(name);
    if (typeof same === "object") same.opaque = true;
    else if (same === undefined && !node.opaque) names.push(name);
  }
  if (buildIndex) names.sort();
  for (const name of names) {
    const child = children?.get(name);
    if (child === undefined) live.add(path, name, whiteouts!.get(name)!, Flag.whiteout);
    else if (typeof child === "number") live.add(path, name, child, 0);
    else live.add(path, name, child.row, directoryFlags(child));
  }
}

function checkLengths({ path, node }: PlacedDirectory, entries: EntryTable): void {
  for (const [name, child] of node.children ?? []) {
    if (path.length + 1 + name.length > MAX_PATH) throw tooLong(`${path}/${name}`, entries, typeof child === "number" ? child : child.row);
  }
}

/** With an empty name: what stands before names. */
export function joinPath(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}

function tooLong(path: string, entries: EntryTable, row: number): ShaleError<"TAR_INVALID"> {
  const entry = showBytes(path as ByteString, 300);
  const message = `the layer's entry "${entry}" has, its symlinks followed, a path of more than ${MAX_PATH} bytes; the image is malformed`;
  return new ShaleError("TAR_INVALID", message, { offset: row < 0 ? 0 : entries.offset(row), entry });
}

function directoryFlags(directory: Directory): number {
  return (directory.opaque ? Flag.opaque : 0) | (directory.row < 0 ? Flag.implicit : 0);
}

/** Tar order, the root before all, implied directories last and by their paths. */
function inTarOrder(live: StagedState, entries: number): LiveNames {
  const numbers = new Int32Array(entries).fill(-1);
  const implied = new Map<string, number>();
  for (let number = 1; number < live.count; number++) {
    const row = live.rows[number]!;
    if (row >= 0) numbers[row] = number;
    else implied.set(joinPath(live.directories[number]!, live.names[number]!), number);
  }
  const ordered = new StagedState(live.count);
  const add = (number: number): void =>
    ordered.add(live.directories[number]!, live.names[number]!, live.rows[number]!, live.flags[number]!);
  add(0);
  for (const number of numbers) if (number > 0) add(number);
  for (const path of [...implied.keys()].sort()) add(implied.get(path)!);
  return ordered.done();
}
