/** Drops trees and keeps chunks. Trees in use stay and are reported. The next pull or `materialize` makes a dropped tree again. */
import { statSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { BlobDigest } from "../image/digest.ts";
import { mountedTrees } from "../inspect/mounted-trees.ts";
import { isYoung, readImages, type KnownImage, type Reason } from "../inspect/roots.ts";
import type { TreeId } from "../store/ids.ts";
import type { GcParts } from "./gc-parts.ts";
import { treesOf } from "../store/images.ts";
import { FileLock } from "../system/file-lock.ts";
import { DeletionQueue } from "./deletion-queue.ts";
import type { TreeInUse } from "./gc-result.ts";
import { moveTreeToStaging } from "./remove-objects.ts";

export interface DematerializeResult {
  /** Ids of the dropped trees. */
  readonly trees: readonly TreeId[];
  readonly inUse: readonly TreeInUse[];
}

export interface DropRequest {
  /** All images of the store: each of them may use a tree. */
  readonly images: Iterable<KnownImage>;
  /** Drop only these trees. Default: the trees of all images. */
  readonly only?: ReadonlySet<TreeId>;
  /** Keep the trees of images that were used in the last `keepYoungerMs` ms. Default 0. */
  readonly keepYoungerMs?: number | undefined;
  /** The image whose lease the caller itself holds, shared. */
  readonly own?: OwnLease;
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface OwnLease {
  readonly manifestDigest: BlobDigest;
  readonly lease: FileLock;
}

/** The caller holds locks/gc. */
export async function dropTrees(parts: GcParts, request: DropRequest, deletions: DeletionQueue): Promise<DematerializeResult> {
  const usersOf = new Map<TreeId, KnownImage[]>();
  for (const image of request.images) {
    for (const treeId of new Set(treesOf(image.record))) {
      if (request.only?.has(treeId) === false) continue;
      const users = usersOf.get(treeId);
      if (users) users.push(image);
      else usersOf.set(treeId, [image]);
    }
  }
  const mounted = mountTable(parts);
  const trees: TreeId[] = [];
  const inUse: TreeInUse[] = [];
  for (const [treeId, users] of usersOf) {
    await nextTurn();
    request.signal?.throwIfAborted();
    if (!statSync(parts.layout.tree(treeId), { throwIfNoEntry: false })) continue;
    const reason = dropTree(parts, { treeId, users, mounted, deletions }, request);
    if (reason) inUse.push({ treeId, reason });
    else trees.push(treeId);
  }
  return { trees, inUse };
}

/** Caches the mount table for a moment: reading it takes time for every process of the machine. */
function mountTable({ layout }: GcParts): () => ReadonlySet<TreeId> {
  let known: { readonly time: number; readonly trees: ReadonlySet<TreeId> } | undefined;
  return () => {
    if (!known || performance.now() - known.time > 50) known = { time: performance.now(), trees: mountedTrees(layout) };
    return known.trees;
  };
}

/** Drops the trees of one image, of all profiles. This process must not have the image open. */
export async function dematerializeImage(parts: GcParts, digest: BlobDigest, signal: AbortSignal): Promise<DematerializeResult> {
  using lock = await FileLock.acquire(parts.layout.lock("gc"), { signal });
  void lock;
  const images = readImages(parts, 0);
  const record = images.get(digest)?.record;
  const only = new Set(record && treesOf(record));
  return await dropAndDelete(parts, { images: images.values(), only, signal });
}

/** Drops trees of an image whose lease the caller holds. Trees that another handle or process uses stay. */
export async function dematerializeOwn(
  parts: GcParts,
  { own, only }: { own: OwnLease; only: ReadonlySet<TreeId> },
  signal: AbortSignal,
): Promise<DematerializeResult> {
  using lock = await FileLock.acquire(parts.layout.lock("gc"), { signal });
  void lock;
  return await dropAndDelete(parts, { images: readImages(parts, 0).values(), only, own, signal });
}

async function dropAndDelete(parts: GcParts, request: DropRequest): Promise<DematerializeResult> {
  await using deletions = new DeletionQueue(parts.pool);
  const result = await dropTrees(parts, request, deletions);
  await deletions.drain();
  return result;
}

/** Returns why the tree stays, or undefined if it was dropped. Claims every image that has the tree, so that no process starts to use it before the rename. */
function dropTree(
  parts: GcParts,
  {
    treeId,
    users,
    mounted,
    deletions,
  }: { treeId: TreeId; users: readonly KnownImage[]; mounted: () => ReadonlySet<TreeId>; deletions: DeletionQueue },
  { keepYoungerMs = 0, own, dryRun }: DropRequest,
): Reason | undefined {
  const written = users.flatMap(({ reasons }) => reasons).find(({ kind }) => kind === "lease");
  if (written) return written;
  const young = users.find(({ lastUse }) => isYoung(lastUse, keepYoungerMs));
  if (young) return { kind: "young", lastUse: young.lastUse };
  const claims: FileLock[] = [];
  let isOwn = false;
  let moved: string | undefined;
  // synchronous: a process that finds the lease of an image taken for longer than some milliseconds treats the image as missing
  try {
    for (const { record } of users) {
      if (record.manifestDigest === own?.manifestDigest) {
        // this process holds locks/gc, so no other one takes a lease exclusively
        isOwn = own.lease.tryExclusive();
        if (!isOwn) return { kind: "handle" };
        continue;
      }
      const claim = parts.leases.claim(record.manifestDigest);
      if (!claim) return { kind: "handle" };
      claims.push(claim);
    }
    const lock = FileLock.try(parts.layout.treeLock(treeId));
    if (!lock) return { kind: "pull" };
    claims.push(lock);
    if (mounted().has(treeId)) return { kind: "mount", treeId };
    if (!dryRun) moved = moveTreeToStaging(parts.layout, treeId);
  } finally {
    for (const claim of claims) claim.release();
    if (isOwn) own?.lease.share();
  }
  if (moved !== undefined) deletions.add(moved);
  return undefined;
}
