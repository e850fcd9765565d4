/** One layer into the store: fetched and ingested by exactly one pull, of this process or another; the others wait and watch. */
import { isErrno, ShaleError } from "../errors.ts";
import type { LayerIdentity } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import type { Source } from "../source/source.ts";
import { readGeneration } from "../store/generation.ts";
import { removeLayerDirectory } from "../store/layers.ts";
import { proofKey } from "../store/proofs.ts";
import { FileLock } from "../system/file-lock.ts";
import { LayerBlob } from "./layer-blob.ts";
import { proofOf, proveLayer } from "./prove-layer.ts";
import { refuseLargeBlob, type ImageBudget, type Limits } from "./limits.ts";
import { LockRecorder, readLockRecord } from "./lock-record.ts";
import type { LayerProgress, ProgressEvent } from "./progress.ts";
import { ProgressRelay } from "./progress-relay.ts";
import { Spool } from "./spool.ts";
import type { StoreCore } from "./store-core.ts";
import { untilSettled } from "./until-settled.ts";

export interface LayerContext {
  readonly core: StoreCore;
  readonly source: Source;
  readonly reference: Reference;
  readonly relay: ProgressRelay;
  readonly force: boolean;
  readonly buildIndex: boolean;
  readonly durability: "deferred" | "barrier";
  readonly keepBlobs: boolean;
  readonly limits: Limits;
  readonly budget: ImageBudget;
  /** The repository that must have given each layer's blob once; undefined: what the store has is anybody's. */
  readonly provenFor: string | undefined;
  readonly signal: AbortSignal;
}

/** Bytes of the blob. */
export interface LayerTraffic {
  readonly fetched: number;
  /** From an earlier download that was cut off, or a kept blob. */
  readonly resumed: number;
  /** False: fetched to see that it is the right one, and no more. */
  readonly ingested: boolean;
}

/** What came of the blob; undefined when it was not needed. */
export async function ensureLayer(layer: LayerIdentity & { index: number }, context: LayerContext): Promise<LayerTraffic | undefined> {
  const { core, force, signal } = context;
  const { diffId } = layer;
  if (!force && (await isUsable(core, diffId, signal))) {
    if (context.buildIndex) await ensureIndex(layer, context);
    context.budget.set(diffId, core.layers.record(diffId)?.size ?? 0);
    return tellingFailure(layer, context, () => skipLayer(layer, context, "in-store"));
  }
  return tellingFailure(layer, context, () => singleFlight(layer, context));
}

async function tellingFailure<T>({ diffId, index }: LayerProgress, { relay, signal }: LayerContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    relay.send({
      kind: "layer-failed",
      diffId,
      index,
      ...(signal.aborted ? { code: "ABORTED", message: "stopped with the pull" } : ProgressRelay.describe(error)),
    });
    throw error;
  }
}

/** A layer that was ingested without the path index gets it; its entries stay as they are. */
export async function ensureIndex(
  about: LayerProgress,
  { core, relay, signal }: Pick<LayerContext, "core" | "relay" | "signal">,
): Promise<void> {
  const { diffId, index } = about;
  if (core.layers.record(diffId)?.indexed !== false) return;
  relay.send({ kind: "sidecar-started", diffId, index });
  using lock = await FileLock.acquire(core.layout.layerLock(diffId), { signal });
  void lock;
  const bytes = await core.pool.run<Uint8Array | undefined>("tree/index", core.layers.sidecarPath(diffId));
  if (bytes) core.layers.replaceSidecar(diffId, bytes, core.staging.directory);
  relay.send({ kind: "sidecar-complete", diffId, index, bytes: bytes?.length ?? 0 });
}

/** In the store, and known to have survived: what a crash of the machine may have damaged is verified first, or dropped. */
export async function isUsable(core: StoreCore, diffId: LayerIdentity["diffId"], signal: AbortSignal): Promise<boolean> {
  switch (core.layers.state(diffId)) {
    case "present":
      return true;
    case "absent":
      return false;
    case "unverified":
      return verifyAfterCrash(core, diffId, signal);
  }
}

async function verifyAfterCrash(core: StoreCore, diffId: LayerIdentity["diffId"], signal: AbortSignal): Promise<boolean> {
  const { profile: native, owner } = core.superblock;
  using lock = await FileLock.acquire(core.layout.layerLock(diffId), { signal });
  void lock;
  const state = core.layers.state(diffId);
  if (state !== "unverified") return state === "present";
  const request = {
    sidecar: core.layers.sidecarPath(diffId),
    headers: core.layers.headersPath(diffId),
    chunks: core.layout.chunks,
    native,
    owner,
  };
  if (await core.pool.run<boolean>("tree/verify-layer", request)) {
    // what the catalog was told of it may not have reached the disk either
    const inodes = await core.pool.run<Uint8Array>("tree/inodes", request);
    core.catalog.announce({ diffId, inodes }, core.staging.fresh("edges"));
    core.tidyCatalog();
    core.layers.makeDurable([diffId]);
    return true;
  }
  core.warn("STORE_DAMAGED", `layer ${diffId} did not survive the last crash of the machine; it is fetched again`);
  core.layers.withdraw(diffId, core.staging.fresh("damaged"));
  return false;
}

async function singleFlight(layer: LayerIdentity & { index: number }, context: LayerContext): Promise<LayerTraffic | undefined> {
  const { core, signal } = context;
  const { diffId } = layer;
  const waitedFor = core.inFlight.get(diffId);
  if (waitedFor) {
    await untilSettled(waitedFor, signal);
    return core.layers.state(diffId) === "present" ? skipLayer(layer, context, "ingested-elsewhere") : singleFlight(layer, context);
  }
  const work = lockAndIngest(layer, context);
  core.inFlight.set(diffId, work);
  try {
    return (await work) ?? (await skipLayer(layer, context, "ingested-elsewhere"));
  } finally {
    core.inFlight.delete(diffId);
  }
}

type SkipReason = Extract<ProgressEvent, { kind: "layer-skipped" }>["reason"];

/** A pull that died between publishing the layer and removing its download left that behind. */
async function skipLayer(
  layer: LayerIdentity & { index: number },
  context: LayerContext,
  reason: SkipReason,
): Promise<LayerTraffic | undefined> {
  Spool.discard(spoolOf(layer, context));
  const proven = await proveLayer(layer, context);
  context.relay.send({ kind: "layer-skipped", reason, diffId: layer.diffId, index: layer.index });
  return proven;
}

/** What another repository sent proves nothing for this one. */
function spoolOf(layer: LayerIdentity, { core, provenFor }: LayerContext): string {
  const path = core.layout.download(layer.descriptor.digest);
  return provenFor === undefined ? path : `${path}-${proofKey(proofOf(layer, provenFor))}`;
}

async function lockAndIngest(layer: LayerIdentity & { index: number }, context: LayerContext): Promise<LayerTraffic | undefined> {
  const { core, relay, force, signal } = context;
  const { diffId, index } = layer;
  const path = core.layout.layerLock(diffId);
  const watch = (): void => {
    const record = readLockRecord(path);
    if (record) relay.advance({ kind: "download-advanced", diffId, index, bytes: record.bytes, total: record.total });
  };
  using lock = await FileLock.acquire(path, { signal, onWait: watch });
  if (!force && core.layers.state(diffId) === "present") return undefined;
  return await ingestLayer(layer, context, new LockRecorder(lock));
}

/** Wrong bytes are asked for once more, from another host if there is one. */
async function ingestLayer(layer: LayerIdentity & { index: number }, context: LayerContext, recorder: LockRecorder): Promise<LayerTraffic> {
  const { core, relay, source, reference, keepBlobs, force, signal, provenFor } = context;
  const { diffId, index, descriptor } = layer;
  const proof = provenFor === undefined ? undefined : proofOf(layer, provenFor);
  using blob = new LayerBlob({
    source,
    reference,
    descriptor,
    spool: spoolOf(layer, context),
    kept: core.layout.blob(descriptor.digest),
    keep: keepBlobs,
    force: force || proof !== undefined,
    signal,
    onEvent: (event) => relay.send({ ...event, diffId, index }),
    onResumed: (bytes) => relay.send({ kind: "download-resumed", diffId, index, bytes }),
  });
  const attempt = async (): Promise<LayerTraffic> => {
    await ingestUndisturbed(layer, context, { recorder, blob });
    blob.done();
    if (proof !== undefined) core.proofs.add(proof);
    return { fetched: blob.fetched, resumed: blob.resumed, ingested: true };
  };
  try {
    return await attempt();
  } catch (error) {
    if (!blob.failed(error) || signal.aborted) throw error;
    relay.warn(...describe(error));
  }
  try {
    return await attempt();
  } catch (error) {
    blob.failed(error);
    throw error;
  }
}

function describe(error: unknown): [code: string, message: string] {
  const { code, message } = ProgressRelay.describe(error);
  return [code, message];
}

interface Feed {
  readonly recorder: LockRecorder;
  readonly blob: LayerBlob;
}

/** A gc may take chunks that this ingest found there before it has published its claim to them; then it starts over. */
async function ingestUndisturbed(layer: LayerIdentity & { index: number }, context: LayerContext, feed: Feed): Promise<void> {
  for (let attempt = 0; attempt < 3; attempt++) if (await ingestOnce(layer, context, { ...feed, forget: attempt > 0 })) return;
  throw new ShaleError("STORE_BUSY", `garbage collection kept removing what layer ${layer.diffId} needs; try again when it has ended`, {
    path: context.core.layout.root,
  });
}

/** False when chunks were removed meanwhile. */
async function ingestOnce(
  layer: LayerIdentity & { index: number },
  context: LayerContext,
  { recorder, blob, forget }: Feed & { readonly forget: boolean },
): Promise<boolean> {
  const { core, relay, force, buildIndex, limits, budget, signal } = context;
  const { diffId, descriptor } = layer;
  const about: LayerProgress = { diffId, index: layer.index };
  const total = descriptor.size;
  refuseLargeBlob(descriptor, limits.blobBytes);
  let bytes = 0;
  let entries = 0;
  relay.send({ kind: "download-started", ...about, total });
  relay.send({ kind: "ingest-started", ...about });
  const directory = core.staging.fresh("layer");
  const generation = readGeneration(core.layout.lock("sweep"));
  using staged = removedAtEnd(directory);
  void staged;
  let settling = false;
  const ingesting = core.ingest.ingest({
    diffId,
    descriptor,
    directory,
    buildIndex,
    verifyContent: force,
    forget,
    limits,
    signal,
    blob: blob.bytes(),
    onDownloaded: (count) => {
      bytes += count;
      relay.advance({ kind: "download-advanced", ...about, bytes, total });
      recorder.write({ phase: "fetching", bytes, total, entries });
    },
    onUnpacked: (unpacked, found) => {
      entries = found;
      budget.set(diffId, unpacked);
      relay.advance({ kind: "ingest-advanced", ...about, bytes: unpacked, entries });
    },
    onSettling: () => {
      settling = true;
      relay.send({ kind: "download-complete", ...about, bytes });
      relay.send({ kind: "sidecar-started", ...about });
    },
  });
  // a chunk that was to be stored once more, under what a hard link made of its attributes
  const ingested = await ingesting.catch((error: unknown) => {
    if (settling && isErrno(error, "ENOENT") && readGeneration(core.layout.lock("sweep")) !== generation) return undefined;
    throw error;
  });
  if (ingested === undefined) return false;
  relay.send({ kind: "sidecar-complete", ...about, bytes: ingested.sidecarBytes });
  const { inodes, size, entries: all } = ingested;
  if (!(await publish(layer, context, { directory, generation, inodes, size, entries: all }))) return false;
  relay.send({ kind: "ingest-complete", ...about, bytes: ingested.size, entries: ingested.entries });
  return true;
}

/** Published, the directory has gone already; given up, nothing of it stays. */
function removedAtEnd(directory: string): Disposable {
  return { [Symbol.dispose]: () => removeLayerDirectory(directory) };
}

interface Staged {
  readonly directory: string;
  /** Of the sweep, when the ingest began. */
  readonly generation: bigint;
  readonly inodes: Uint8Array;
  readonly size: number;
  readonly entries: number;
}

/** Edges before the layer, so that the catalog never under-counts, and no sweep between the two. False when chunks are gone. */
async function publish(
  { diffId }: LayerIdentity,
  { core, buildIndex, durability, signal }: LayerContext,
  staged: Staged,
): Promise<boolean> {
  const path = core.layout.lock("sweep");
  using sweep = await FileLock.acquire(path, { mode: "shared", signal });
  const { directory, generation, inodes, size, entries } = staged;
  if (
    readGeneration(path) !== generation &&
    !(await core.pool.run<boolean>("tree/chunks-there", { rows: inodes, chunks: core.layout.chunks }))
  ) {
    return false;
  }
  signal.throwIfAborted();
  core.catalog.announce({ diffId, inodes }, core.staging.fresh("edges"));
  core.layers.publish(directory, { diffId, size, entries, indexed: buildIndex });
  sweep.release();
  core.tidyCatalog();
  if (durability === "barrier") core.layers.makeDurable([diffId]);
  return true;
}
