/** What every collection begins with: the catalog knows every layer, and nothing of an earlier collection is half done. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ShaleError } from "../errors.ts";
import { parseDiffId, type DiffId } from "../image/digest.ts";
import { FileLock } from "../system/file-lock.ts";
import type { GcContext } from "../inspect/store-parts.ts";
import { mountedTrees } from "../inspect/mounted-trees.ts";
import { addSwept, type Tally } from "./gc-result.ts";
import { sweepLayer } from "./sweep-layer.ts";
import type { Trash } from "./deletion-queue.ts";

/** Reads the names of layers on both sides, and the sidecars of those alone that the catalog lacks. */
export async function reconcile(
  context: GcContext,
  { tally, trash }: { tally: Tally; trash: Trash },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { layers, catalog, pool, superblock } = context;
  const known = new Set(await catalog.session((session) => session.layers(), signal));
  for (const diffId of layers.list()) {
    if (known.has(diffId)) continue;
    const request = { sidecar: layers.sidecarPath(diffId), native: superblock.profile, owner: superblock.owner };
    try {
      await catalog.addLayer({ diffId, inodes: await pool.run<Uint8Array>("tree/inodes", request) }, signal);
    } catch (error) {
      // what a damaged layer uses is unknown, and it has to be fetched again anyhow
      if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
      context.warn(error.code, error.message);
    }
  }
  let mounted: ReadonlySet<string> | undefined;
  for (const name of readdirSync(context.layout.staging)) {
    const path = join(context.layout.staging, name);
    const removed = /^removed-([0-9a-f]{64})$/.exec(name)?.[1];
    const replaced = /^replaced-([a-z2-7]{26})-/.exec(name)?.[1];
    if (removed !== undefined) await finishRemoval(context, { diffId: parseDiffId(`sha256:${removed}`), path }, { tally, signal });
    if (replaced === undefined) continue;
    mounted ??= mountedTrees(context.layout);
    if (!mounted.has(replaced)) trash.add(path);
  }
}

/** A pull that is bringing the layer back has the lock: then it is left to the next collection. */
async function finishRemoval(
  context: GcContext,
  { diffId, path }: { diffId: DiffId; path: string },
  { tally, signal }: { tally: Tally; signal: AbortSignal | undefined },
): Promise<void> {
  using use = FileLock.try(context.layout.layerUse(diffId));
  if (!use) return;
  if (context.layers.state(diffId) !== "absent") return rmSync(path, { recursive: true, force: true });
  addSwept(tally, await sweepLayer(context, { diffId, directory: path }, signal));
}
