/** One layer into the store: fetched and ingested by exactly one pull, of this process or another; the others wait and watch. */
import type { LayerIdentity } from "../image/manifest.ts";
import { FileLock } from "../system/file-lock.ts";
import { ingestLayer } from "./ingest-layer.ts";
import { spoolOf, type LayerContext, type LayerTraffic } from "./layer-context.ts";
import { LockRecorder, readLockRecord } from "./lock-record.ts";
import type { LayerProgress, ProgressEvent } from "./progress.ts";
import { ProgressRelay } from "./progress-relay.ts";
import { proveLayer } from "./prove-layer.ts";
import { Spool } from "./spool.ts";
import type { StoreCore } from "../session/store-core.ts";
import { untilSettled } from "./until-settled.ts";

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
