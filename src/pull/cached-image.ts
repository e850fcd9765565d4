/** An image from the store alone: what the boot path does, without network, LevelDB or workers. */
import type { BlobDigest } from "../image/digest.ts";
import { formatPlatform } from "../image/platform.ts";
import { withTrees, type ImageRecord } from "../store/images.ts";
import { isRealDirectory } from "../store/real-directory.ts";
import type { Proof } from "../store/proofs.ts";
import type { FileLock } from "../system/file-lock.ts";
import type { Image, PullStats } from "../api/image.ts";
import { isIndexed, makeImage, type TreeRef } from "../api/make-image.ts";
import { Holds } from "./holds.ts";
import { milliseconds, treesContext, wholeRequest, type PullRequest } from "./pull-request.ts";

const { existsSync } = process.getBuiltinModule("node:fs");
const { setTimeout: sleep } = process.getBuiltinModule("node:timers/promises");

/** The image, if the store has all of it; nothing is ever fetched. */
export async function storedImage(request: Omit<PullRequest, "holds">): Promise<Image | undefined> {
  using holds = new Holds();
  return await cachedImage({ ...request, holds }, milliseconds());
}

/** The image, if the store has all of it; without network, LevelDB or workers when its trees are there too. */
export async function cachedImage(request: PullRequest, started: number): Promise<Image | undefined> {
  const { core, reference, name: text, platform, relay, profile } = request;
  const warn = (code: string, message: string): void => relay.warn(code, message);
  const pinned = reference.transport === "docker" ? reference.digest : undefined;
  const wanted = formatPlatform(platform);
  const digest = core.images.resolve(text, wanted, warn) ?? (pinned && core.images.resolvePinned(pinned, wanted, warn));
  const lease = digest && (await takeLease(core, digest));
  if (!digest || !lease) return undefined;
  try {
    const record = core.images.record(digest, warn);
    const composed = record && (!request.requireProof || (await isProven(record, request))) && (await composedTrees(record, request));
    if (composed) return await restoreImage(request, { record, ...composed, lease, started });
  } catch (error) {
    lease.release();
    throw error;
  }
  lease.release();
  if (request.policy === "never") relay.warn("NOT_CACHED", `${JSON.stringify(text)} is only partly in the store (profile ${profile})`);
  return undefined;
}

/** Who looks whether anybody has the image holds its lease for a moment; who removes it, until the record is gone. */
async function takeLease({ leases, layout }: PullRequest["core"], digest: BlobDigest): Promise<FileLock | undefined> {
  for (let tries = 0; tries < 25; tries++) {
    const lease = leases.take(digest);
    if (lease || !existsSync(layout.imageRecord(digest))) return lease;
    await sleep(4);
  }
  return undefined;
}

interface Composed {
  readonly composed: readonly TreeRef[];
  readonly present: boolean;
}

interface Restored extends Composed {
  readonly record: ImageRecord;
  readonly lease: FileLock;
  readonly started: number;
}

const NO_WORK: Omit<PullStats, "milliseconds"> = { downloadedBytes: 0, resumedBytes: 0, ingestedLayers: 0, newChunks: 0, newChunkBytes: 0 };

/** A record from another boot, or without these trees, is brought up to date once they are there. */
async function restoreImage(request: PullRequest, { record, composed, present, lease, started }: Restored): Promise<Image> {
  const { core, profile, eager } = request;
  const stats = (): PullStats => ({ ...NO_WORK, milliseconds: milliseconds() - started });
  const image = await makeImage(request, { record, composed, present, lease, cached: true, stats: stats() });
  if (eager && composed.some((tree) => tree.resolution)) {
    const { bootId } = core;
    const lists = withTrees(record, { bootId, profile, ids: composed.map(({ treeId }) => treeId), checked: true });
    core.images.writeRecord({ ...record, ...lists, bootId, indexed: isIndexed(await core.whole(), record) });
  }
  return image;
}

/** A layer that stands in the image in two forms is proven by either: it is fetched once. */
async function isProven({ configDigest, layers }: ImageRecord, { core, reference }: PullRequest): Promise<boolean> {
  const { proofs } = await core.whole();
  const { repositoryOf } = await import("./prove-layer.ts");
  const repository = repositoryOf(reference);
  const has = (blob: BlobDigest, content: Proof["content"]): boolean => proofs.has({ repository, blob, content });
  const proven = new Set(layers.filter(({ digest, diffId }) => has(digest, diffId)).map(({ diffId }) => diffId));
  return has(configDigest, configDigest) && layers.every(({ diffId }) => proven.has(diffId));
}

/** The trees of a recorded image; undefined when a layer is missing. Their ids alone are enough while every tree is there. */
async function composedTrees(record: ImageRecord, request: PullRequest): Promise<Composed | undefined> {
  const { core, profile, eager, buildIndex } = request;
  const known = record.trees[profile];
  const settled = record.bootId === core.bootId && (record.indexed || !buildIndex);
  if (known && settled && (!eager || known.every((id) => isRealDirectory(core.layout.tree(id)))))
    return { composed: known.map((treeId) => ({ treeId })), present: eager };
  const whole = await wholeRequest(request);
  const { ensureIndex, isUsable } = await import("./ensure-layer.ts");
  for (const [index, { diffId }] of record.layers.entries()) {
    if (!(await isUsable(whole.core, diffId, request.signal))) return undefined;
    if (buildIndex) await ensureIndex({ diffId, index }, whole);
  }
  const { composeLayers } = await import("./trees.ts");
  const composed = await composeLayers(
    record.layers.map(({ diffId }) => diffId),
    treesContext(whole),
  );
  return { composed, present: false };
}
