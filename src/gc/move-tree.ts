/** Takes a tree out of sight by one rename; whoever calls deletes it at leisure. */
import { randomBytes } from "node:crypto";
import { renameSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../errors.ts";
import type { StoreLayout } from "../store/layout.ts";

/** Under the tree's lock, exclusively. Where it is now; undefined when it was not there. */
export function moveTreeAway(layout: StoreLayout, treeId: string): string | undefined {
  const gone = join(layout.staging, `replaced-${treeId}-${randomBytes(4).toString("hex")}`);
  try {
    renameSync(layout.tree(treeId), gone);
    return gone;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
