/** An image that the store has: the boot path. Uses no network, and no LevelDB or workers either if all trees exist. */
import type { BlobDigest } from "../image/digest.ts";
import { formatPlatform } from "../image/platform.ts";
import { withTrees, type ImageRecord } from "../store/images.ts";
import type { Proof } from "../store/proofs.ts";
import { treeExists } from "../store/real-directory.ts";
import type { FileLock } from "../system/file-lock.ts";
import { Holds } from "./holds.ts";
import { materializeImage } from "./materialize-image.ts";
import { milliseconds, NO_WORK } from "./pull-request.ts";
import type { ImageRequest, PulledImage, PullPolicy, RunningPull, TreeRef } from "./pull-request.ts";
import type { BootStore } from "./pull-store.ts";

const { existsSync } = process.getBuiltinModule("node:fs");
const { setTimeout: sleep } = process.getBuiltinModule("node:timers/promises");

/** The image if the store has all of it; never fetches. */
export async function storedImage(store: BootStore, request: ImageRequest): Promise<PulledImage | undefined> {
  using holds = new Holds();
  return await cachedImage(store, request, { holds, images: store.images, started: milliseconds() });
}

/** The same within a pull, which keeps the locks until its image is recorded. */
export async function cachedImage(
  store: BootStore,
  request: ImageRequest & { readonly policy?: PullPolicy },
  { holds, images, started }: RunningPull,
): Promise<PulledImage | undefined> {
  const { reference, name, platform, relay, profile } = request;
  const pinned = reference.transport === "docker" ? reference.digest : undefined;
  const wanted = formatPlatform(platform);
  const digest = images.resolve(name, wanted) ?? (pinned && images.resolvePinned(pinned, wanted));
  const lease = digest && (await takeLease(store, digest));
  if (!digest || !lease) return undefined;
  try {
    const record = images.record(digest);
    const isUsable = record && (!request.requireProof || (await isProven(store, record, request)));
    const trees = isUsable && (await treesOf(store, record, request));
    if (trees) {
      await makeTrees(store, request, { record, holds, ...trees });
      return { record, name, profile, trees: trees.refs, lease, cached: true, stats: { ...NO_WORK, durationMs: milliseconds() - started } };
    }
  } catch (error) {
    lease.release();
    throw error;
  }
  lease.release();
  if (request.policy === "never") relay.warn("NOT_CACHED", `${JSON.stringify(name)} is only partly in the store (profile ${profile})`);
  return undefined;
}

/** Undefined if the image is being removed. A liveness check holds the lease briefly, so a busy lease is tried again. */
async function takeLease({ leases, layout }: BootStore, digest: BlobDigest): Promise<FileLock | undefined> {
  for (let tries = 0; tries < 25; tries++) {
    const lease = leases.take(digest);
    if (lease || !existsSync(layout.imageRecord(digest))) return lease;
    await sleep(4);
  }
  return undefined;
}

interface ImageTrees {
  readonly refs: readonly TreeRef[];
  /** All of them exist; checked under the lease. */
  readonly exist: boolean;
}

/** Creates missing trees, then updates a record of another boot or without these trees. */
async function makeTrees(
  store: BootStore,
  { profile, eager, relay, signal }: ImageRequest,
  { record, refs, exist, holds }: ImageTrees & { readonly record: ImageRecord; readonly holds: Holds },
): Promise<void> {
  if (!eager) return;
  const diffIds = record.layers.map(({ diffId }) => diffId);
  if (!exist) await materializeImage(store, { diffIds, trees: refs, profile, force: false, relay, holds, signal });
  if (!refs.some((tree) => tree.resolution)) return;
  const { bootId } = store;
  const lists = withTrees(record, { bootId, profile, ids: refs.map(({ treeId }) => treeId), checked: true });
  const { layers } = await store.whole();
  store.images.writeRecord({ ...record, ...lists, bootId, indexed: layers.allIndexed(diffIds) });
}

/** Two forms of one layer in the image prove each other: it is fetched once. */
async function isProven(store: BootStore, { configDigest, layers }: ImageRecord, { reference }: ImageRequest): Promise<boolean> {
  const { proofs } = await store.whole();
  const { repositoryOf } = await import("./prove-layer.ts");
  const repository = repositoryOf(reference);
  const has = (blob: BlobDigest, content: Proof["content"]): boolean => proofs.has({ repository, blob, content });
  const proven = new Set(layers.filter(({ digest, diffId }) => has(digest, diffId)).map(({ diffId }) => diffId));
  return has(configDigest, configDigest) && layers.every(({ diffId }) => proven.has(diffId));
}

/** The trees of a recorded image; undefined if a layer is missing. While all trees exist, the recorded ids are enough. */
async function treesOf(store: BootStore, record: ImageRecord, request: ImageRequest): Promise<ImageTrees | undefined> {
  const { profile, eager, buildIndex, relay, signal } = request;
  const known = record.trees[profile];
  const isCurrent = record.bootId === store.bootId && (record.indexed || !buildIndex);
  if (known && isCurrent && (!eager || known.every((id) => treeExists(store.layout, id))))
    return { refs: known.map((treeId) => ({ treeId })), exist: eager };
  const whole = await store.whole();
  const { ensureIndex, isUsable } = await import("./ensure-layer.ts");
  for (const [index, { diffId }] of record.layers.entries()) {
    if (!(await isUsable(whole, diffId, signal))) return undefined;
    if (buildIndex) await ensureIndex({ diffId, index }, { store: whole, relay, signal });
  }
  const { composeLayers } = await import("./trees.ts");
  const diffIds = record.layers.map(({ diffId }) => diffId);
  return { refs: await composeLayers(diffIds, { store: whole, profile }), exist: false };
}
