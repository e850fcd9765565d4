/** The first step of every collection: adds layers that the catalog lacks, and finishes what an earlier collection began. */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { DiffId } from "../image/digest.ts";
import { mountedTrees } from "../inspect/mounted-trees.ts";
import type { TreeId } from "../store/ids.ts";
import { parseStagingName } from "../store/layout.ts";
import type { GcParts } from "./gc-parts.ts";
import { FileLock } from "../system/file-lock.ts";
import type { DeletionQueue } from "./deletion-queue.ts";
import { addSwept, type Tally } from "./gc-result.ts";
import { readRows, sweepLayer } from "./sweep-layer.ts";

/** Reads the names of the layers in layers/ and in the catalog, and the sidecars of only those that the catalog lacks. */
export async function reconcile(
  parts: GcParts,
  { tally, deletions }: { tally: Tally; deletions: DeletionQueue },
  signal: AbortSignal | undefined,
): Promise<void> {
  const { layers, catalog } = parts;
  const known = new Set(await catalog.session((session) => session.layers(), signal));
  for (const diffId of layers.list()) {
    if (known.has(diffId)) continue;
    const inodes = await readRows(parts, layers.sidecarPath(diffId));
    if (inodes) await catalog.addLayer({ diffId, inodes }, signal);
  }
  let mounted: ReadonlySet<TreeId> | undefined;
  for (const name of readdirSync(parts.layout.staging)) {
    const path = join(parts.layout.staging, name);
    const staged = parseStagingName(name);
    if (staged.kind === "removed-layer") await finishRemoval(parts, { diffId: staged.diffId, path }, { tally, signal });
    if (staged.kind !== "replaced-tree") continue;
    mounted ??= mountedTrees(parts.layout);
    if (!mounted.has(staged.treeId)) deletions.add(path);
  }
}

/** Skips a layer whose `use` lock is held: a pull is ingesting it again, and the next collection finishes the removal. */
async function finishRemoval(
  parts: GcParts,
  { diffId, path }: { diffId: DiffId; path: string },
  { tally, signal }: { tally: Tally; signal: AbortSignal | undefined },
): Promise<void> {
  using use = FileLock.try(parts.layout.layerUse(diffId));
  if (!use) return;
  if (parts.layers.state(diffId) !== "absent") return rmSync(path, { recursive: true, force: true });
  addSwept(tally, await sweepLayer(parts, { diffId, directory: path }, signal));
}
