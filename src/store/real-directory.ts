/** Checks that the store's directories are real directories. A symlink in place of a directory is never followed. */
import { ShaleError } from "../errors.ts";
import type { TreeId } from "./ids.ts";
import type { StoreLayout } from "./layout.ts";

const { lstatSync } = process.getBuiltinModule("node:fs");

/** True for a directory; false for a symlink to one, for anything else, and if the path does not exist. */
export function isRealDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** True if the tree exists. A name in trees/ is published only for a complete tree. */
export function treeExists(layout: StoreLayout, treeId: TreeId): boolean {
  return isRealDirectory(layout.tree(treeId));
}

/** @throws STORE_DAMAGED if one of the store's directories exists and is not a directory */
export function requireRealDirectories(layout: StoreLayout): void {
  for (const path of [...layout.directories, layout.db, layout.edges]) refuseOther(path);
}

/** Checks the directories of chunks/, each by one lstat when a worker first uses it. */
export class Shards {
  readonly #seen = new Set<string>();

  /** `path`: of a link source. @throws STORE_DAMAGED if its directory exists and is not a directory */
  check(path: string): void {
    const directory = path.slice(0, path.lastIndexOf("/"));
    if (this.#seen.has(directory)) return;
    refuseOther(directory);
    this.#seen.add(directory);
  }
}

function refuseOther(path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined || stat.isDirectory()) return;
  const message = `${JSON.stringify(path)} must be a directory of the store, but is something else; remove it, then run shale fsck`;
  throw new ShaleError("STORE_DAMAGED", message, { path });
}
