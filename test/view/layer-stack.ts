/** An independent model of stacked layers, for property tests: each layer is applied to one tree, as the OCI specification tells it. */
import type { TestEntry } from "../../src/testing/index.ts";

export interface ModelFile {
  readonly kind: "file" | "directory" | "symlink";
  readonly mode: number;
  readonly uid: number;
  readonly mtime: number;
  readonly content: string;
  /** Of a hard-link group: all its paths, sorted. */
  readonly links: readonly string[];
}

type File = Omit<ModelFile, "links">;
/** Names of a hard-link group have one and the same File. */
type Tree = Map<string, File>;

const IMPLIED: File = { kind: "directory", mode: 0o755, uid: 0, mtime: 0, content: "" };

/** Paths of the root file system that well-formed layers give, bottom to top; "" is the root. */
export function stackLayers(layers: readonly (readonly TestEntry[])[]): Map<string, ModelFile> {
  const tree: Tree = new Map([["", IMPLIED]]);
  for (const entries of layers) {
    const before = new Map(tree);
    for (const entry of entries) if (isMarker(entry)) mark(tree, entry.path);
    const own: Tree = new Map();
    for (const entry of entries) {
      if (isMarker(entry)) imply(tree, parentOf(entry.path), before);
      else put(tree, { entry, own, before });
    }
  }
  return withLinks([...tree].map(([path, file]) => [path, { ...file }, file]));
}

/** Adds the groups of the paths that have the same `identity`. */
export function withLinks(files: readonly (readonly [path: string, file: File, identity: unknown])[]): Map<string, ModelFile> {
  const groups = Map.groupBy(files, ([, , identity]) => identity);
  return new Map(
    files.map(([path, file, identity]) => {
      const paths = groups.get(identity)!.map(([other]) => other);
      return [path, { ...file, links: file.kind === "directory" || paths.length < 2 ? [] : paths.toSorted() }];
    }),
  );
}

/** False when an entry's parent is, at that place of its own layer's tar, a file, or a hard link's target is not there. */
export function isWellFormed(entries: readonly TestEntry[]): boolean {
  const kinds = new Map<string, "file" | "directory">();
  for (const { path, type, target } of entries) {
    for (let parent = parentOf(path); parent !== ""; parent = parentOf(parent)) {
      if (kinds.get(parent) === "file") return false;
      kinds.set(parent, "directory");
    }
    if (isMarker({ path })) continue;
    if (type === "hardlink" && (target === path || kinds.get(target!) !== "file")) return false;
    if (type !== "directory") for (const other of kinds.keys()) if (isAtOrBelow(other, path)) kinds.delete(other);
    kinds.set(path, type === "directory" ? "directory" : "file");
  }
  return true;
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

function put(tree: Tree, { entry, own, before }: { entry: TestEntry; own: Tree; before: Tree }): void {
  const { path, type = "file" } = entry;
  const file = type === "hardlink" ? linked(own.get(entry.target!)!, entry) : fileOf(entry);
  imply(tree, parentOf(path), before);
  const old = tree.get(path);
  if (old && !(old.kind === "directory" && file.kind === "directory"))
    for (const names of [tree, own]) remove(names, (other) => isAtOrBelow(other, path));
  for (const names of [tree, own]) names.set(path, file);
}

function fileOf({ type = "file", target, content, mode, uid, mtime }: TestEntry): File {
  const kind = type as File["kind"];
  const fallback = kind === "directory" ? 0o755 : 0o644;
  return {
    kind,
    mode: kind === "symlink" ? 0o777 : (mode ?? fallback),
    uid: uid ?? 0,
    mtime: mtime ?? 0,
    content: kind === "symlink" ? target! : String(content ?? ""),
  };
}

/** The header of a hard link speaks of the file that it names. */
function linked(file: File, { mode, uid, mtime }: TestEntry): File {
  return Object.assign(file, { mode: file.kind === "symlink" ? file.mode : (mode ?? 0o644), uid: uid ?? 0, mtime: mtime ?? 0 });
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
