/**
 * Proves a store good, or says what is wrong with it and puts it right. In the order of dependence: the superblock, directories, images,
 * layers, chunks, trees, the catalog, layers rebuilt, staging; so that each repair can rely on what was put right before it. Safe while
 * other processes pull: what is found is looked at again when it may have changed, and repairs take the locks of format/store.md.
 */
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
import { checkPlaces, checkStaging } from "./check-directories.ts";
import { checkTrees } from "./check-trees.ts";
import { FsckContext, type FsckOptions } from "./fsck-context.ts";
import { finding, type Finding } from "./finding.ts";
import { findTrees } from "./find-trees.ts";

/**
 * Findings as they come; none when the store is good. `store` is its directory or an open store. A superblock that cannot be read
 * is a finding, and the last one. Break off the iteration to stop.
 * @throws NOT_A_STORE when there is no such directory, STORE_UNWRITABLE for a repair of what cannot be written, and the signal's reason
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
  const pool = new WorkerPool(new URL("./worker.js", import.meta.url), { size });
  const context = new FsckContext({ layout, superblock, pool, options });
  try {
    yield* sections(context);
  } catch (error) {
    options.signal?.throwIfAborted();
    return await inStore(layout.root, () => Promise.reject(error as Error));
  } finally {
    context.close();
    await pool.close();
  }
}

async function* sections(context: FsckContext): AsyncGenerator<Finding, void, undefined> {
  yield* checkPlaces(context);
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
  throw new ShaleError("NOT_A_STORE", `${JSON.stringify(path)} is no directory; name a store`, { path });
}

/** Unknown read-only-compatible features forbid repair, and reading with them is not tried either. */
function superblockOf(layout: StoreLayout): Superblock | Finding {
  if (!existsSync(layout.superblock)) return finding("superblock-missing", "store.json", { expected: "a superblock", found: "absent" });
  try {
    return readSuperblock(layout.superblock, layout.root) ?? finding("superblock-missing", "store.json");
  } catch (error) {
    if (!ShaleError.is(error)) throw error;
    return finding("superblock-invalid", "store.json", { found: `${error.code}: ${error.message}` });
  }
}
