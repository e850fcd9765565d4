/** The trees of an image: computes their ids and creates the missing ones. */
import { randomBytes } from "node:crypto";
import { lstatSync, renameSync } from "node:fs";
import type { DiffId } from "../image/digest.ts";
import type { TreeId } from "../store/ids.ts";
import type { Profile } from "../store/profile.ts";
import { FileLock } from "../system/file-lock.ts";
import { allSettled, SLICE } from "../tree/distribute-entries.ts";
import { materializeTree } from "../tree/materialize.ts";
import type { CheckTreeRequest, ComposeRequest, ComposedLayer } from "../tree/tasks.ts";
import type { TreeTask } from "../tree/tree-plan.ts";
import type { Holds } from "./holds.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { PullStore } from "./pull-store.ts";

export interface TreesContext {
  readonly store: PullStore;
  readonly profile: Profile;
  /** Check existing trees against their layers. */
  readonly force: boolean;
  readonly relay: ProgressRelay;
  /** Receives the locks that keep the trees from gc until the image record names them. */
  readonly holds: Holds;
  readonly signal: AbortSignal;
}

/** Computes each layer's resolution: what its tree takes from the other layers of the image. Bottom to top. */
export function composeLayers(
  diffIds: readonly DiffId[],
  { store, profile }: Pick<TreesContext, "store" | "profile">,
  worker?: number,
): Promise<ComposedLayer[]> {
  const layers = diffIds.map((diffId) => ({ diffId, sidecar: store.layers.sidecarPath(diffId) }));
  const request: ComposeRequest = { layers, profile, owner: store.superblock.owner };
  return store.pool.run("tree/compose", request, worker === undefined ? {} : { worker });
}

/**
 * The same, when the trees are created next: all workers compute it at the same time, so each has the layers loaded for the work that
 * follows. One worker suffices if every layer has few entries.
 */
export async function composeForTrees(diffIds: readonly DiffId[], context: TreesContext): Promise<ComposedLayer[]> {
  const { layers, pool } = context.store;
  const workers = diffIds.some((diffId) => (layers.record(diffId)?.entries ?? 0) > SLICE) ? pool.size : 1;
  const [composed] = await allSettled(Array.from({ length: workers }, (_, worker) => composeLayers(diffIds, context, worker)));
  return composed!;
}

/** Creates each missing tree, once across all processes. */
export async function ensureTrees(diffIds: readonly DiffId[], composed: readonly ComposedLayer[], context: TreesContext): Promise<void> {
  const { relay, holds } = context;
  const trees = diffIds.map((diffId, index): LayerTree => ({ index, diffId, composed: composed[index]! }));
  // a forced pull takes exclusive locks while it holds others: sorted, so that two pulls with common trees cannot deadlock
  if (context.force) trees.sort((a, b) => (a.composed.treeId < b.composed.treeId ? -1 : 1));
  for (const tree of trees) {
    const {
      index,
      diffId,
      composed: { treeId },
    } = tree;
    // this pull holds the lock already if it created the tree early or the image lists the layer twice
    const reportedAt = holds.trees.get(treeId);
    if (reportedAt === undefined) {
      await ensureTree(tree, context);
      holds.trees.set(treeId, index);
    } else if (reportedAt !== index) relay.send({ kind: "tree-skipped", diffId, index });
  }
}

interface LayerTree {
  readonly index: number;
  readonly diffId: DiffId;
  readonly composed: ComposedLayer;
}

async function ensureTree(tree: LayerTree, context: TreesContext): Promise<void> {
  const { store, relay } = context;
  const { index, diffId, composed } = tree;
  const { treeId, live: total } = composed;
  const present = context.force ? undefined : holdIfTrusted(store, treeId);
  if (present) {
    context.holds.add(present);
    return relay.send({ kind: "tree-skipped", diffId, index });
  }
  relay.send({ kind: "tree-started", diffId, index, total });
  context.holds.add(await makeAndHold(tree, context));
  relay.send({ kind: "tree-complete", diffId, index, entries: total });
}

/** The first process creates the tree under the exclusive lock; the others wait. The lock is kept, shared, so that gc skips the tree. */
async function makeAndHold(tree: LayerTree, context: TreesContext): Promise<FileLock> {
  const { store, signal, force } = context;
  const { treeId } = tree.composed;
  for (;;) {
    const present = force ? undefined : holdIfTrusted(store, treeId);
    if (present) return present;
    const lock = FileLock.try(store.layout.treeLock(treeId));
    if (!lock) {
      await FileLock.pause(signal);
      continue;
    }
    try {
      if (force || !isTrusted(store, treeId)) {
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

function holdIfTrusted(store: PullStore, treeId: TreeId): FileLock | undefined {
  const lock = FileLock.try(store.layout.treeLock(treeId), "shared");
  if (lock && isTrusted(store, treeId)) return lock;
  lock?.release();
  return undefined;
}

/** A tree is trusted during the boot that created or checked it, which its lock file names: a machine crash may damage it. */
function isTrusted(store: PullStore, treeId: TreeId): boolean {
  return store.treeMarks.state(treeId) === "trusted";
}

/** Keeps a correct tree. A wrong one is moved to staging, not deleted: a process may be using it. */
async function makeRight({ index, diffId, composed }: LayerTree, context: TreesContext, lock: FileLock): Promise<void> {
  const { store, relay, holds, signal } = context;
  const { treeId } = composed;
  const target = store.layout.tree(treeId);
  const task = taskOf({ diffId, composed }, context);
  if (lstatSync(target, { throwIfNoEntry: false })) {
    const contents = store.treeMarks.state(treeId) === "unknown";
    if (await store.pool.run("tree/check", { ...task, tree: target, contents } satisfies CheckTreeRequest))
      return store.treeMarks.checked(lock, treeId);
    relay.warn("STORE_DAMAGED", `the tree ${JSON.stringify(target)} differs from its layer and is replaced`);
    store.treeMarks.forget(lock, treeId);
    renameSync(target, store.layout.replaced(treeId, randomBytes(4).toString("hex")));
  }
  store.treeMarks.forget(lock, treeId);
  const onAdvanced = (entries: number): void => relay.advance({ kind: "tree-advanced", diffId, index, entries, total: composed.live });
  const staged = holds.takeTree(diffId);
  const begun = staged ? { ...task, tree: staged.directory, placed: staged.placed } : task;
  await materializeTree({ pool: store.pool, composed, task: begun, target, signal, onAdvanced });
  store.treeMarks.made(lock);
}

function taskOf({ diffId, composed }: Pick<LayerTree, "diffId" | "composed">, { store, profile, holds }: TreesContext): TreeTask {
  const { profile: native, owner } = store.superblock;
  return {
    sidecar: store.layers.sidecarPath(diffId),
    tree: store.staging.fresh("tree"),
    chunks: store.layout.chunks,
    staging: store.staging.directory,
    resolution: composed.resolution,
    trust: store.trust,
    vouchedBefore: store.layers.vouchedBefore(diffId),
    made: holds.ingested.has(diffId) ? store.ingest.made.memory : undefined,
    profile,
    native,
    owner,
  };
}
