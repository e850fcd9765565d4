/** Finds the trees that the layers and image records of the store explain. */
import { existsSync } from "node:fs";
import { isErrno, ShaleError } from "../errors.ts";
import type { ImageRecord } from "../store/images.ts";
import type { Profile } from "../store/profile.ts";
import { EMPTY_RESOLUTION, treeId } from "../tree/resolution.ts";
import type { ComposedLayer, ComposeRequest } from "../tree/tasks.ts";
import type { FsckContext } from "./fsck-context.ts";
import type { LayerTables } from "./check-layers.ts";

/** Fills `context.trees` with the explained trees that exist. */
export async function findTrees(context: FsckContext, tables: readonly LayerTables[]): Promise<void> {
  for (const { diffId, profiles, live } of tables) {
    for (const profile of profiles)
      add(context, { treeId: treeId(diffId, profile, EMPTY_RESOLUTION), resolution: EMPTY_RESOLUTION, live }, { diffId, profile });
  }
  for (const record of context.records.values()) {
    for (const trees of [record.trees, record.unchecked ?? {}]) {
      for (const profile of Object.keys(trees) as Profile[]) await compose(context, { ...record, trees }, profile);
    }
  }
}

async function compose(context: FsckContext, { layers, trees }: Pick<ImageRecord, "layers" | "trees">, profile: Profile): Promise<void> {
  const unexplained = trees[profile]?.some((id) => !context.trees.has(id) && existsSync(context.layout.tree(id)));
  if (!unexplained || layers.some(({ diffId }) => !context.known.has(diffId))) return;
  const request: ComposeRequest = {
    layers: layers.map(({ diffId }) => ({ diffId, sidecar: context.layers.sidecarPath(diffId) })),
    profile,
    owner: context.superblock.owner,
  };
  try {
    const composed = await context.pool.run("tree/compose", request);
    composed.forEach((layer, index) => add(context, layer, { diffId: layers[index]!.diffId, profile }));
  } catch (error) {
    // the layer was removed since it was checked, so its trees need no explanation
    if (!isErrno(error, "ENOENT") && !ShaleError.is(error, "SIDECAR_INVALID")) throw error;
  }
}

function add(
  context: FsckContext,
  composed: ComposedLayer,
  { diffId, profile }: { diffId: LayerTables["diffId"]; profile: Profile },
): void {
  if (existsSync(context.layout.tree(composed.treeId))) context.trees.set(composed.treeId, { ...composed, diffId, profile });
}
