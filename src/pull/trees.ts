/** The trees of an image: which they are, and making those that are not there. */
import { existsSync } from "node:fs";
import type { DiffId } from "../image/digest.ts";
import type { Profile } from "../store/profile.ts";
import { FileLock } from "../system/file-lock.ts";
import { materializeTree } from "../tree/materialize.ts";
import type { ComposeRequest, ComposedLayer } from "../tree/tasks.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { StoreCore } from "./store-core.ts";

export interface TreesContext {
  readonly core: StoreCore;
  readonly profile: Profile;
  readonly relay: ProgressRelay;
  readonly signal: AbortSignal;
}

/** What each layer of the image takes from the others; bottom to top. */
export function composeLayers(diffIds: readonly DiffId[], { core, profile }: TreesContext): Promise<ComposedLayer[]> {
  const layers = diffIds.map((diffId) => ({ diffId, sidecar: core.layers.sidecarPath(diffId) }));
  return core.pool.run("tree/compose", { layers, profile, owner: core.superblock.owner } satisfies ComposeRequest);
}

/** Makes each tree that is not there, once in all processes. */
export async function ensureTrees(diffIds: readonly DiffId[], composed: readonly ComposedLayer[], context: TreesContext): Promise<void> {
  for (const [index, diffId] of diffIds.entries()) await ensureTree({ index, diffId, composed: composed[index]! }, context);
}

interface LayerTree {
  readonly index: number;
  readonly diffId: DiffId;
  readonly composed: ComposedLayer;
}

async function ensureTree({ index, diffId, composed }: LayerTree, { core, profile, relay, signal }: TreesContext): Promise<void> {
  const target = core.layout.tree(composed.treeId);
  if (existsSync(target)) return relay.send({ kind: "tree-skipped", diffId, index });
  const total = composed.live;
  relay.send({ kind: "tree-started", diffId, index, total });
  using lock = await FileLock.acquire(core.layout.treeLock(composed.treeId), { signal });
  void lock;
  const { profile: native, owner } = core.superblock;
  const staging = core.staging;
  const task = {
    sidecar: core.layers.sidecarPath(diffId),
    tree: staging.fresh("tree"),
    chunks: core.layout.chunks,
    staging: staging.directory,
    resolution: composed.resolution,
    profile,
    native,
    owner,
  };
  const onAdvanced = (entries: number): void => relay.advance({ kind: "tree-advanced", diffId, index, entries, total });
  await materializeTree({ pool: core.pool, composed, task, target, signal, onAdvanced });
  relay.send({ kind: "tree-complete", diffId, index, entries: total });
}
