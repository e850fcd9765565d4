/**
 * Checks a store, and repairs it on request. Each check relies on what the checks before it have repaired, so the order is: superblock,
 * directories, images, layers, chunks, trees, catalog, rebuilt layers, staging. Safe while other processes pull: fsck checks an object
 * again if it may have changed meanwhile, and repairs take the locks of format/store.md.
 */
import type { FsckTaskMap } from "./fsck-tasks.ts";
import type { TreeTaskMap } from "../tree/tasks.ts";
import { existsSync, realpathSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { isErrno, ShaleError } from "../errors.ts";
import { StoreLayout } from "../store/layout.ts";
import { inStore } from "../store/store-error.ts";
import { readSuperblock, type Superblock } from "../store/superblock.ts";
import { WorkerPool } from "../system/worker-pool.ts";
import { checkCatalog } from "./check-catalog.ts";
import { checkChunks } from "./check-chunks.ts";
import { checkImages } from "./check-images.ts";
import { checkLayers, rebuildLayers, type LayerTables } from "./check-layers.ts";
import { checkDirectories, checkStaging } from "./check-directories.ts";
import { checkTrees } from "./check-trees.ts";
import { FsckContext, type FsckOptions } from "./fsck-context.ts";
import { finding, type Finding } from "./finding.ts";
import { findTrees } from "./find-trees.ts";

/**
 * Yields findings as soon as they are made; none if the store is intact. `store` is the directory of a store, or an open store. A damaged
 * superblock is a finding, and then the only one. Break out of the loop to stop.
 * @throws NOT_A_STORE if the directory is missing, STORE_UNWRITABLE if a repair cannot write to the store, and the signal's reason
 */
export async function* fsck(
  store: string | { readonly path: string },
  options: FsckOptions = {},
): AsyncGenerator<Finding, void, undefined> {
  options.signal?.throwIfAborted();
  const layout = new StoreLayout(rootOf(typeof store === "string" ? store : store.path));
  const superblock = superblockOf(layout);
  if ("kind" in superblock) return yield superblock;
  const size = options.workers ?? Math.min(2, availableParallelism());
  const pool = new WorkerPool<FsckTaskMap & TreeTaskMap>(new URL("./worker.js", import.meta.url), { size });
  const context = new FsckContext({ layout, superblock, pool, options });
  try {
    yield* sections(context);
  } catch (error) {
    options.signal?.throwIfAborted();
    return await inStore(layout.root, () => Promise.reject(error as Error));
  } finally {
    // the workers first: they may still be writing to the directory that the context removes
    await pool.close();
    context.close();
  }
}

async function* sections(context: FsckContext): AsyncGenerator<Finding, void, undefined> {
  yield* checkDirectories(context);
  yield* checkImages(context);
  const tables: LayerTables[] = [];
  yield* checkLayers(context, tables);
  await findTrees(context, tables);
  yield* checkChunks(context, tables);
  if (context.level !== "quick") {
    yield* checkTrees(context);
    yield* checkCatalog(context);
  }
  if (context.level === "full") yield* rebuildLayers(context);
  yield* checkStaging(context);
}

function rootOf(path: string): string {
  try {
    const root = realpathSync(path);
    if (statSync(root).isDirectory()) return root;
  } catch (error) {
    if (!isErrno(error, "ENOENT", "ENOTDIR")) throw error;
  }
  throw new ShaleError("NOT_A_STORE", `${JSON.stringify(path)} is not a directory; give the path of a store`, { path });
}

/** Returns a finding if the superblock is missing, damaged, or lists an unknown feature, even one that would allow reading. */
function superblockOf(layout: StoreLayout): Superblock | Finding {
  if (!existsSync(layout.superblock)) return finding("superblock-missing", "store.json", { expected: "a superblock", found: "missing" });
  try {
    return readSuperblock(layout.superblock, layout.root) ?? finding("superblock-missing", "store.json");
  } catch (error) {
    if (!ShaleError.is(error)) throw error;
    return finding("superblock-invalid", "store.json", { found: `${error.code}: ${error.message}` });
  }
}
