/** Trees that some mount uses: a second guard beside leases, for those who mounted and let the lease go. */
import { readdirSync, readFileSync } from "node:fs";
import { isErrno } from "../errors.ts";
import type { TreeId } from "../store/ids.ts";
import type { StoreLayout } from "../store/layout.ts";

/** The ids of trees that appear in the mount table of any process that may be looked at. */
export function mountedTrees(layout: StoreLayout): ReadonlySet<TreeId> {
  const mounted = new Set<TreeId>();
  const seen = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const table = mountTable(pid);
    if (table === undefined || seen.has(table)) continue;
    seen.add(table);
    for (const treeId of layout.treesIn(table)) mounted.add(treeId);
  }
  return mounted;
}

/** Undefined when the process is gone or is not ours to look at. */
function mountTable(pid: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EACCES", "EPERM", "EINVAL")) return undefined;
    throw error;
  }
}
