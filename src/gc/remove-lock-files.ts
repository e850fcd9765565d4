/** Deletes the lock files of objects that no longer exist, so that locks/ does not grow with every image that was ever pulled. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isYoung } from "../inspect/roots.ts";
import { parseLockName, type StoreLayout } from "../store/layout.ts";
import { syncDirectory } from "../system/durable-write.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";

/** A reader takes a lease without the check that another lock has, so its file stays until no reader can have opened it before. */
const LEASE_MS = 24 * 60 * 60 * 1000;

/** Lock files that are examined before other work of this process continues: less than a millisecond. */
const GROUP = 32;

/** `keepLayers` keeps those of layers: they show that an ingest was interrupted and that its chunks are still to be deleted. */
export async function removeLockFiles(layout: StoreLayout, { keepLayers }: { readonly keepLayers: boolean }): Promise<void> {
  let hasTrees = false;
  for (const [at, name] of namesIn(layout.locks).entries()) {
    if (at % GROUP === 0) await nextTurn();
    const object = objectOf(layout, name);
    const isLease = name.startsWith("lease-");
    if (object === undefined || existsSync(object) || (keepLayers && name.startsWith("layer-"))) continue;
    const path = join(layout.locks, name);
    if (isLease && isYoung(statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now(), LEASE_MS)) continue;
    const lock = FileLock.try(path);
    if (!lock) continue;
    // a process that made the object since had the lock
    if (existsSync(object)) {
      lock.release();
      continue;
    }
    lock.delete();
    hasTrees ||= name.startsWith("tree-");
  }
  // the lock of a tree says that it is durable, which must not apply to a new tree after a crash
  if (hasTrees) syncDirectory(layout.locks);
}

/** Returns the path of the object that a lock guards; undefined for locks that are not of one object. */
function objectOf(layout: StoreLayout, name: string): string | undefined {
  const lock = parseLockName(name);
  if (lock === undefined) return undefined;
  if (lock.kind === "tree") return layout.tree(lock.treeId);
  return lock.kind === "lease" ? layout.imageRecord(lock.manifestDigest) : layout.layer(lock.diffId);
}
