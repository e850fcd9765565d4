/** The trees of an image: which they are, and making those that are not there. */
import { randomBytes } from "node:crypto";
import { lstatSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { DiffId } from "../image/digest.ts";
import type { Profile } from "../store/profile.ts";
import { FileLock } from "../system/file-lock.ts";
import { allSettled, SLICE } from "../tree/in-slices.ts";
import { materializeTree } from "../tree/materialize.ts";
import type { CheckTreeRequest, ComposeRequest, ComposedLayer } from "../tree/tasks.ts";
import type { TreeTask } from "../tree/tree-plan.ts";
import type { Holds } from "./holds.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { StoreCore } from "../session/store-core.ts";

export interface TreesContext {
  readonly core: StoreCore;
  readonly profile: Profile;
  /** Check trees that are there against their layers. */
  readonly force: boolean;
  readonly relay: ProgressRelay;
  /** Gets the locks that keep the trees from gc until the image record names them. */
  readonly holds: Holds;
  readonly signal: AbortSignal;
}

/** What each layer of the image takes from the others; bottom to top. */
export function composeLayers(
  diffIds: readonly DiffId[],
  { core, profile }: Pick<TreesContext, "core" | "profile">,
  worker?: number,
): Promise<ComposedLayer[]> {
  const layers = diffIds.map((diffId) => ({ diffId, sidecar: core.layers.sidecarPath(diffId) }));
  const request: ComposeRequest = { layers, profile, owner: core.superblock.owner };
  return core.pool.run("tree/compose", request, worker === undefined ? {} : { worker });
}

/**
 * The same when the trees come next: every worker that will make them works it out, at the same time, for then each has the layers at hand.
 * A layer of few entries is one worker's.
 */
export async function composeForTrees(diffIds: readonly DiffId[], context: TreesContext): Promise<ComposedLayer[]> {
  const { layers, pool } = context.core;
  const workers = diffIds.some((diffId) => (layers.record(diffId)?.entries ?? 0) > SLICE) ? pool.size : 1;
  const [composed] = await allSettled(Array.from({ length: workers }, (_, worker) => composeLayers(diffIds, context, worker)));
  return composed!;
}

/** Makes each tree that is not there, once in all processes. */
export async function ensureTrees(diffIds: readonly DiffId[], composed: readonly ComposedLayer[], context: TreesContext): Promise<void> {
  const { relay, holds } = context;
  const trees = diffIds.map((diffId, index): LayerTree => ({ index, diffId, composed: composed[index]! }));
  // by force a pull wants each lock for itself while it holds others: two images with trees in common must not take them crosswise
  if (context.force) trees.sort((a, b) => (a.composed.treeId < b.composed.treeId ? -1 : 1));
  for (const tree of trees) {
    const {
      index,
      diffId,
      composed: { treeId },
    } = tree;
    // one that was made early, or that the image has twice, is ours already: its lock would wait for us
    const toldAt = holds.trees.get(treeId);
    if (toldAt === undefined) {
      await ensureTree(tree, context);
      holds.trees.set(treeId, index);
    } else if (toldAt !== index) relay.send({ kind: "tree-skipped", diffId, index });
  }
}

interface LayerTree {
  readonly index: number;
  readonly diffId: DiffId;
  readonly composed: ComposedLayer;
}

async function ensureTree(tree: LayerTree, context: TreesContext): Promise<void> {
  const { core, relay } = context;
  const { index, diffId, composed } = tree;
  const { treeId, live: total } = composed;
  const present = context.force ? undefined : holdIfTrusted(core, treeId);
  if (present) {
    context.holds.add(present);
    return relay.send({ kind: "tree-skipped", diffId, index });
  }
  relay.send({ kind: "tree-started", diffId, index, total });
  context.holds.add(await makeAndHold(tree, context));
  relay.send({ kind: "tree-complete", diffId, index, entries: total });
}

/** Whoever is first makes the tree under the exclusive lock; all others wait for it. It stays held, shared: gc leaves it alone. */
async function makeAndHold(tree: LayerTree, context: TreesContext): Promise<FileLock> {
  const { core, signal, force } = context;
  const { treeId } = tree.composed;
  for (;;) {
    const present = force ? undefined : holdIfTrusted(core, treeId);
    if (present) return present;
    const lock = FileLock.try(core.layout.treeLock(treeId));
    if (!lock) {
      await FileLock.pause(signal);
      continue;
    }
    try {
      if (force || !isTrusted(core, treeId)) {
        await makeRight(tree, context, lock);
      }
      lock.share();
      return lock;
    } catch (error) {
      lock.release();
      throw error;
    }
  }
}

function holdIfTrusted(core: StoreCore, treeId: string): FileLock | undefined {
  const lock = FileLock.try(core.layout.treeLock(treeId), "shared");
  if (lock && isTrusted(core, treeId)) return lock;
  lock?.release();
  return undefined;
}

/** A tree is trusted in the boot that made or checked it, which its lock file names; a crash of the machine ends that. */
function isTrusted(core: StoreCore, treeId: string): boolean {
  return core.treeMarks.state(treeId) === "trusted";
}

/** Keeps a tree that is what it must be. A wrong one is moved out of the way, not deleted: somebody may be running in it. */
async function makeRight({ index, diffId, composed }: LayerTree, context: TreesContext, lock: FileLock): Promise<void> {
  const { core, relay, holds, signal } = context;
  const { treeId } = composed;
  const target = core.layout.tree(treeId);
  const task = taskOf({ diffId, composed }, context);
  if (lstatSync(target, { throwIfNoEntry: false })) {
    const contents = core.treeMarks.state(treeId) === "unknown";
    if (await core.pool.run<boolean>("tree/check", { ...task, tree: target, contents } satisfies CheckTreeRequest))
      return core.treeMarks.checked(lock, treeId);
    relay.warn("STORE_DAMAGED", `the tree ${JSON.stringify(target)} differs from its layer and is replaced`);
    core.treeMarks.forget(lock, treeId);
    renameSync(target, join(core.layout.staging, `replaced-${treeId}-${randomBytes(4).toString("hex")}`));
  }
  core.treeMarks.forget(lock, treeId);
  const onAdvanced = (entries: number): void => relay.advance({ kind: "tree-advanced", diffId, index, entries, total: composed.live });
  const staged = holds.takeTree(diffId);
  const begun = staged ? { ...task, tree: staged.directory, placed: staged.placed } : task;
  await materializeTree({ pool: core.pool, composed, task: begun, target, signal, onAdvanced });
  core.treeMarks.made(lock);
}

function taskOf({ diffId, composed }: Pick<LayerTree, "diffId" | "composed">, { core, profile, holds }: TreesContext): TreeTask {
  const { profile: native, owner } = core.superblock;
  return {
    sidecar: core.layers.sidecarPath(diffId),
    tree: core.staging.fresh("tree"),
    chunks: core.layout.chunks,
    staging: core.staging.directory,
    resolution: composed.resolution,
    trust: core.trust,
    vouchedBefore: core.layers.vouchedBefore(diffId),
    made: holds.ingested.has(diffId) ? core.ingest.made.memory : undefined,
    profile,
    native,
    owner,
  };
}
