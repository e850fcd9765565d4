/** Checks every tree against its layer. A repair makes a damaged tree again from chunks. */
import { existsSync } from "node:fs";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import { materializeTree } from "../tree/materialize.ts";
import { parseTreeId } from "../store/ids.ts";
import { treesOf } from "../store/images.ts";
import type { TreeTask } from "../tree/tree-plan.ts";
import { mapInOrder, type FsckContext, type KnownTree } from "./fsck-context.ts";
import { finding, type Finding } from "./finding.ts";
import type { CheckedTree } from "./fsck-tasks.ts";

export async function* checkTrees(context: FsckContext): AsyncGenerator<Finding> {
  const { layout, pool, signal } = context;
  const names = namesIn(layout.trees)
    .map((name) => parseTreeId(name))
    .filter((treeId) => treeId !== undefined)
    .toSorted();
  for (const name of names)
    if (!context.trees.has(name))
      yield finding("tree-unknown", context.relative(layout.tree(name)), { expected: "a layer and an image that explain it" });
  const trees = [...context.trees.values()].filter(({ diffId, treeId }) => context.known.has(diffId) && names.includes(treeId));
  let done = 0;
  const results = mapInOrder(trees, { concurrency: pool.size, signal }, async (tree) => ({ tree, checked: await compare(context, tree) }));
  for await (const { tree, checked } of results) {
    context.progress("trees", ++done, trees.length);
    if (checked.count > 0 && existsSync(layout.tree(tree.treeId)) && context.known.has(tree.diffId))
      yield* reportTree(context, tree, checked);
  }
}

async function compare(context: FsckContext, tree: KnownTree): Promise<CheckedTree> {
  const task = taskOf(context, tree, context.layout.tree(tree.treeId));
  return (await context.unlessRemoved([tree.diffId], () => context.pool.run("fsck/tree", task))) ?? { count: 0, differences: [] };
}

function taskOf(context: FsckContext, { diffId, profile, resolution }: KnownTree, tree: string): TreeTask {
  const { layout, layers, superblock } = context;
  const staging = context.repairing ? context.workspace : layout.staging;
  const { profile: native, owner } = superblock;
  const { trust } = context;
  const about = { sidecar: layers.sidecarPath(diffId), vouchedBefore: layers.vouchedBefore(diffId), trust };
  return { ...about, tree, chunks: layout.chunks, staging, profile, native, owner, resolution };
}

/** Reports the first differences one by one and counts the others in one more finding. The tree is made again once. */
async function* reportTree(context: FsckContext, tree: KnownTree, { count, differences }: CheckedTree): AsyncGenerator<Finding> {
  const images = context.namesOf((record) => treesOf(record).includes(tree.treeId));
  const object = context.relative(context.layout.tree(tree.treeId));
  const found = differences.map(({ kind, path, expected, found: have }) =>
    finding("tree-difference", object, { path, expected: `${kind}: ${expected}`, found: have, images }),
  );
  if (count > differences.length)
    found.push(finding("tree-difference", object, { found: `${count - differences.length} more differences`, images }));
  let repair: Promise<void> | undefined;
  for (const one of found) yield await context.corrected(one, "made again from chunks", () => (repair ??= remake(context, tree)));
}

/** Moves the old tree to staging instead of deleting it: a sandbox may be running in it. */
async function remake(context: FsckContext, tree: KnownTree): Promise<void> {
  const { layout, pool, signal } = context;
  const target = layout.tree(tree.treeId);
  using lock = await FileLock.acquire(layout.treeLock(tree.treeId), { signal });
  if ((await compare(context, tree)).count === 0) return;
  const task = taskOf(context, tree, context.fresh("tree"));
  context.treeMarks.forget(lock, tree.treeId);
  context.setAside(target);
  await materializeTree({ pool, composed: tree, task, target, signal, onAdvanced: () => {} });
  context.treeMarks.made(lock);
}
