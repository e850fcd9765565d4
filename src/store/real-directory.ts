/** What somebody may have put into a store's place: a symlink where a directory belongs is never followed. */
import { ShaleError } from "../errors.ts";
import type { StoreLayout } from "./layout.ts";

const { lstatSync } = process.getBuiltinModule("node:fs");

/** True for a directory itself, false for a symlink to one, anything else, or nothing. */
export function isRealDirectory(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** @throws STORE_DAMAGED unless each of the store's own directories is one, or not there yet */
export function requireRealDirectories(layout: StoreLayout): void {
  for (const path of [...layout.directories, layout.db, layout.edges]) refuseOther(path);
}

/** The directories of chunks/ that one worker has looked at; each costs one lstat, once. */
export class Shards {
  readonly #seen = new Set<string>();

  /** `path` of a chunk. @throws STORE_DAMAGED when its directory is something else */
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
  const message = `${JSON.stringify(path)} is no directory, as it must be in a store, and is not followed; remove it, then run shale fsck`;
  throw new ShaleError("STORE_DAMAGED", message, { path });
}
