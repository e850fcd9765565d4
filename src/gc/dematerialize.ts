/** Dropping trees while chunks stay: what is in use is left alone, and told. The next pull or `materialize` makes a tree again. */
import { statSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { BlobDigest } from "../image/digest.ts";
import { treesOf } from "../store/images.ts";
import { FileLock } from "../system/file-lock.ts";
import type { GcContext } from "../inspect/store-parts.ts";
import { mountedTrees } from "../inspect/mounted-trees.ts";
import { moveTreeAway } from "./move-tree.ts";
import type { TreeInUse } from "./gc-result.ts";
import { readImages, type KnownImage, type Reason } from "../inspect/roots.ts";
import { Trash } from "./deletion-queue.ts";

export interface DematerializeResult {
  /** Ids of the trees that were dropped. */
  readonly trees: readonly string[];
  readonly inUse: readonly TreeInUse[];
}

export interface DropRequest {
  /** All of the store's: any of them may use a tree. */
  readonly images: Iterable<KnownImage>;
  /** Only these trees; default: all that images have. */
  readonly only?: ReadonlySet<string>;
  /** Leave what was used in the last so many ms. Default 0. */
  readonly keepYoungerMs?: number | undefined;
  /** The image whose lease the caller has itself, shared. */
  readonly own?: OwnLease;
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface OwnLease {
  readonly manifestDigest: BlobDigest;
  readonly lease: FileLock;
}

/** Under locks/gc. */
export async function dropTrees(context: GcContext, request: DropRequest, trash: Trash): Promise<DematerializeResult> {
  const usersOf = new Map<string, KnownImage[]>();
  for (const image of request.images) {
    for (const treeId of new Set(treesOf(image.record))) {
      if (request.only?.has(treeId) === false) continue;
      const users = usersOf.get(treeId);
      if (users) users.push(image);
      else usersOf.set(treeId, [image]);
    }
  }
  const mounted = mountTable(context);
  const trees: string[] = [];
  const inUse: TreeInUse[] = [];
  for (const [treeId, users] of usersOf) {
    await nextTurn();
    request.signal?.throwIfAborted();
    if (!statSync(context.layout.tree(treeId), { throwIfNoEntry: false })) continue;
    const reason = dropTree(context, { treeId, users, mounted, trash }, request);
    if (reason) inUse.push({ treeId, reason });
    else trees.push(treeId);
  }
  return { trees, inUse };
}

/** Reading it costs time for each process of the machine: once for all trees of a moment. */
function mountTable({ layout }: GcContext): () => ReadonlySet<string> {
  let known: { readonly time: number; readonly trees: ReadonlySet<string> } | undefined;
  return () => {
    if (!known || performance.now() - known.time > 50) known = { time: performance.now(), trees: mountedTrees(layout) };
    return known.trees;
  };
}

/** Trees of one image that is not open here, of all profiles. */
export async function dematerializeImage(context: GcContext, digest: BlobDigest, signal: AbortSignal): Promise<DematerializeResult> {
  using lock = await FileLock.acquire(context.layout.lock("gc"), { signal });
  void lock;
  const images = readImages(context, 0);
  const record = images.get(digest)?.record;
  const only = new Set(record && treesOf(record));
  return await dropAndDelete(context, { images: images.values(), only, signal });
}

/** Trees of an image whose lease the caller holds; nobody else's use of it is disturbed. */
export async function dematerializeOwn(
  context: GcContext,
  { own, only }: { own: OwnLease; only: ReadonlySet<string> },
  signal: AbortSignal,
): Promise<DematerializeResult> {
  using lock = await FileLock.acquire(context.layout.lock("gc"), { signal });
  void lock;
  return await dropAndDelete(context, { images: readImages(context, 0).values(), only, own, signal });
}

async function dropAndDelete(context: GcContext, request: DropRequest): Promise<DematerializeResult> {
  await using trash = new Trash(context.pool);
  const result = await dropTrees(context, request, trash);
  await trash.empty();
  return result;
}

/** Gone, or why not. Nobody can get hold of the tree between the look and the rename: every image that has it is claimed. */
function dropTree(
  context: GcContext,
  { treeId, users, mounted, trash }: { treeId: string; users: readonly KnownImage[]; mounted: () => ReadonlySet<string>; trash: Trash },
  { keepYoungerMs = 0, own, dryRun }: DropRequest,
): Reason | undefined {
  const written = users.flatMap(({ reasons }) => reasons).find(({ kind }) => kind === "lease");
  if (written) return written;
  const young = users.find(({ lastUse }) => Date.now() - lastUse < keepYoungerMs);
  if (young) return { kind: "young", lastUse: young.lastUse };
  const claims: FileLock[] = [];
  let isOwn = false;
  let gone: string | undefined;
  // without a pause: whoever finds the lease of an image taken for more than some milliseconds counts that as absent
  try {
    for (const { record } of users) {
      if (record.manifestDigest === own?.manifestDigest) {
        // while locks/gc is ours nobody else takes a lease exclusively
        isOwn = own.lease.tryExclusive();
        if (!isOwn) return { kind: "handle" };
        continue;
      }
      const claim = context.leases.claim(record.manifestDigest);
      if (!claim) return { kind: "handle" };
      claims.push(claim);
    }
    const lock = FileLock.try(context.layout.treeLock(treeId));
    if (!lock) return { kind: "pull" };
    claims.push(lock);
    if (mounted().has(treeId)) return { kind: "mount", treeId };
    if (!dryRun) gone = moveTreeAway(context.layout, treeId);
  } finally {
    for (const claim of claims) claim.release();
    if (isOwn) own?.lease.share();
  }
  if (gone !== undefined) trash.add(gone);
  return undefined;
}
