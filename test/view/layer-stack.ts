/** An independent model of stacked layers, for property tests: each layer is applied to one tree, as the OCI specification tells it. */
import type { TestEntry } from "../../src/testing/index.ts";

export interface ModelFile {
  readonly kind: "file" | "directory" | "symlink";
  readonly mode: number;
  readonly uid: number;
  readonly mtime: number;
  readonly content: string;
}

type Tree = Map<string, ModelFile>;

const IMPLIED = { kind: "directory", mode: 0o755, uid: 0, mtime: 0, content: "" } as const;

/** Paths of the root file system that the layers give, bottom to top; "" is the root. No hard links, no symlinks on the way to a name. */
export function stackLayers(layers: readonly (readonly TestEntry[])[]): Map<string, ModelFile> {
  const tree = new Map<string, ModelFile>([["", IMPLIED]]);
  for (const entries of layers) {
    const before = new Map(tree);
    const markers = entries.filter(isMarker);
    for (const { path } of markers) mark(tree, path);
    for (const { path } of markers) imply(tree, parentOf(path), before);
    for (const entry of entries) if (!isMarker(entry)) put(tree, entry, before);
  }
  return tree;
}

/** True when an entry's parent is, at that place of its own layer's tar, a file: such layers are malformed. */
export function hasFileAsParent(entries: readonly TestEntry[]): boolean {
  const kinds = new Map<string, "file" | "directory">();
  for (const { path, type } of entries) {
    for (let parent = parentOf(path); parent !== ""; parent = parentOf(parent)) {
      if (kinds.get(parent) === "file") return true;
      kinds.set(parent, "directory");
    }
    if (isMarker({ path })) continue;
    if (type !== "directory") for (const other of kinds.keys()) if (isAtOrBelow(other, path)) kinds.delete(other);
    kinds.set(path, type === "directory" ? "directory" : "file");
  }
  return false;
}

function isMarker({ path }: TestEntry): boolean {
  return path.slice(path.lastIndexOf("/") + 1).startsWith(".wh.");
}

function mark(tree: Tree, path: string): void {
  const parent = parentOf(path);
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (name === ".wh..wh..opq") remove(tree, (other) => parent === "" || other.startsWith(`${parent}/`));
  else remove(tree, (other) => isAtOrBelow(other, join(parent, name.slice(4))));
}

function put(tree: Tree, entry: TestEntry, before: Tree): void {
  const kind = (entry.type ?? "file") as ModelFile["kind"];
  imply(tree, parentOf(entry.path), before);
  const old = tree.get(entry.path);
  if (old && !(old.kind === "directory" && kind === "directory")) remove(tree, (other) => isAtOrBelow(other, entry.path));
  const content = kind === "symlink" ? (entry.target ?? "") : String(entry.content ?? "");
  const mode = kind === "symlink" ? 0o777 : (entry.mode ?? (kind === "directory" ? 0o755 : 0o644));
  tree.set(entry.path, { kind, mode, uid: entry.uid ?? 0, mtime: entry.mtime ?? 0, content });
}

/** A parent that no entry names looks as lower layers left it, if it was a directory there. */
function imply(tree: Tree, path: string, before: Tree): void {
  if (path === "") return;
  imply(tree, parentOf(path), before);
  const old = tree.get(path);
  if (old?.kind === "directory") return;
  remove(tree, (other) => isAtOrBelow(other, path));
  const lower = before.get(path);
  tree.set(path, lower?.kind === "directory" ? lower : IMPLIED);
}

function remove(tree: Tree, which: (path: string) => boolean): void {
  for (const path of tree.keys()) if (path !== "" && which(path)) tree.delete(path);
}

function isAtOrBelow(path: string, ancestor: string): boolean {
  return path === ancestor || path.startsWith(`${ancestor}/`);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf("/"), 0));
}

function join(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}
