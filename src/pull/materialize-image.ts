/** Creates the missing trees of an image. What an image with all its trees does not need is loaded on demand. */
import type { DiffId } from "../image/digest.ts";
import type { Profile } from "../store/profile.ts";
import { treeExists } from "../store/real-directory.ts";
import type { ComposedLayer } from "../tree/tasks.ts";
import type { Holds } from "./holds.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { TreeRef } from "./pull-request.ts";
import type { BootStore } from "./pull-store.ts";

export interface MaterializeRequest {
  /** Bottom to top, as are `trees`. */
  readonly diffIds: readonly DiffId[];
  readonly trees: readonly TreeRef[];
  readonly profile: Profile;
  /** Check existing trees against their layers. */
  readonly force: boolean;
  readonly relay: ProgressRelay;
  /** Receives the locks that keep the trees from gc. */
  readonly holds: Holds;
  readonly signal: AbortSignal;
}

export async function materializeImage(store: BootStore, { diffIds, trees, ...request }: MaterializeRequest): Promise<void> {
  const isComposed = trees.some((tree) => tree.resolution);
  if (!isComposed && trees.every(({ treeId }) => treeExists(store.layout, treeId))) return;
  const { composeForTrees, ensureTrees } = await import("./trees.ts");
  const context = { ...request, store: await store.whole() };
  const composed = trees.every(hasResolution) ? trees : await composeForTrees(diffIds, context);
  await ensureTrees(diffIds, composed, context);
}

function hasResolution(tree: TreeRef): tree is ComposedLayer {
  return tree.resolution !== undefined;
}
