/** Gets one layer into the store. Exactly one pull, of this process or another, fetches and ingests it; the others wait for that. */
import type { DiffId } from "../image/digest.ts";
import { FileLock } from "../system/file-lock.ts";
import { ingestLayer } from "./ingest-layer.ts";
import { spoolOf, type LayerContext, type LayerTraffic, type NumberedLayer } from "./layer-context.ts";
import { LayerFlight } from "./layer-flight.ts";
import { LockRecorder, readLockRecord, type LockRecord } from "./lock-record.ts";
import type { LayerProgress, ProgressEvent } from "./progress.ts";
import { ProgressRelay } from "./progress-relay.ts";
import { proveLayer } from "./prove-layer.ts";
import type { PullStore } from "./pull-store.ts";
import { Spool } from "./spool.ts";

/** Returns what was fetched; undefined if nothing was. A failure is also reported as `layer-failed`. */
export async function ensureLayer(layer: NumberedLayer, context: LayerContext): Promise<LayerTraffic | undefined> {
  const { store, relay, force, signal, budget } = context;
  const { diffId, index } = layer;
  try {
    if (force || !(await isUsable(store, diffId, signal))) return await fetchOrWait(layer, context);
    if (context.buildIndex) await ensureIndex(layer, context);
    budget.set(diffId, store.layers.record(diffId)?.size ?? 0);
    return await skipLayer(layer, context, "in-store");
  } catch (error) {
    const stopped = { code: "ABORTED", message: "stopped with the pull" } as const;
    relay.send({ kind: "layer-failed", diffId, index, ...(signal.aborted ? stopped : ProgressRelay.describe(error)) });
    throw error;
  }
}

/** Adds the path index to the sidecar of a layer that was ingested without it; the entries stay the same. */
export async function ensureIndex(
  { diffId, index }: LayerProgress,
  { store, relay, signal }: Pick<LayerContext, "store" | "relay" | "signal">,
): Promise<void> {
  if (store.layers.record(diffId)?.indexed !== false) return;
  relay.send({ kind: "sidecar-started", diffId, index });
  using lock = await FileLock.acquire(store.layout.layerLock(diffId), { signal });
  void lock;
  const bytes = await store.pool.run("tree/index", store.layers.sidecarPath(diffId));
  if (bytes) store.layers.replaceSidecar(diffId, bytes, store.staging.directory);
  relay.send({ kind: "sidecar-complete", diffId, index, bytes: bytes?.length ?? 0 });
}

/** True if the store has the layer. A layer that a machine crash may have damaged is verified first, and withdrawn if it is wrong. */
export async function isUsable(store: PullStore, diffId: DiffId, signal: AbortSignal): Promise<boolean> {
  switch (store.layers.state(diffId)) {
    case "present":
      return true;
    case "absent":
      return false;
    case "unverified":
      return verifyAfterCrash(store, diffId, signal);
  }
}

async function verifyAfterCrash(store: PullStore, diffId: DiffId, signal: AbortSignal): Promise<boolean> {
  const { profile: native, owner } = store.superblock;
  using lock = await FileLock.acquire(store.layout.layerLock(diffId), { signal });
  void lock;
  const state = store.layers.state(diffId);
  if (state !== "unverified") return state === "present";
  const sidecar = store.layers.sidecarPath(diffId);
  const request = { sidecar, headers: store.layers.headersPath(diffId), chunks: store.layout.chunks, native, owner };
  if (await store.pool.run("tree/verify-layer", request)) {
    // the catalog's edges of this layer may have been lost too
    const inodes = await store.pool.run("tree/inodes", request);
    store.catalog.announce({ diffId, inodes }, store.staging.fresh("edges"));
    store.tidyCatalog();
    store.layers.makeDurable([diffId]);
    return true;
  }
  store.warn("STORE_DAMAGED", `layer ${diffId} was damaged by the last machine crash; it is fetched again`);
  store.layers.withdraw(diffId, store.staging.fresh("damaged"));
  return false;
}

/** Waits while another pull of this process fetches the layer; fetches it if that failed, or if nobody does. */
async function fetchOrWait(layer: NumberedLayer, context: LayerContext): Promise<LayerTraffic | undefined> {
  const { store, signal } = context;
  const { diffId } = layer;
  const watch = watcherOf(layer, context);
  for (let other = store.flights.get(diffId); other !== undefined; other = store.flights.get(diffId)) {
    await other.wait(signal, watch);
    if (store.layers.state(diffId) === "present") return skipLayer(layer, context, "ingested-elsewhere");
  }
  const flight = new LayerFlight();
  store.flights.set(diffId, flight);
  try {
    const traffic = await flight.run(() => lockAndIngest(layer, context, flight));
    return traffic ?? (await skipLayer(layer, context, "ingested-elsewhere"));
  } finally {
    store.flights.delete(diffId);
  }
}

/** Undefined if another process ingested the layer while this one waited for the lock. */
async function lockAndIngest(layer: NumberedLayer, context: LayerContext, flight: LayerFlight): Promise<LayerTraffic | undefined> {
  const { store, force, signal } = context;
  const path = store.layout.layerLock(layer.diffId);
  const watch = watcherOf(layer, context);
  const onWait = (): void => {
    const record = readLockRecord(path);
    if (record === undefined) return;
    watch(record);
    flight.report(record);
  };
  using lock = await FileLock.acquire(path, { signal, onWait });
  if (!force && store.layers.state(layer.diffId) === "present") return undefined;
  const recorder = new LockRecorder(lock);
  return await ingestLayer(layer, context, (record) => {
    recorder.write(record);
    flight.report(record);
  });
}

/** Reports the progress of the pull that fetches the layer, of this process or another. */
function watcherOf({ diffId, index }: LayerProgress, { relay }: LayerContext): (record: LockRecord) => void {
  return ({ bytes, total }) => relay.advance({ kind: "download-advanced", diffId, index, bytes, total });
}

type SkipReason = Extract<ProgressEvent, { kind: "layer-skipped" }>["reason"];

/** Also removes the download of a pull that died after it published the layer. */
async function skipLayer(layer: NumberedLayer, context: LayerContext, reason: SkipReason): Promise<LayerTraffic | undefined> {
  Spool.discard(spoolOf(layer, context));
  const proven = await proveLayer(layer, context);
  context.relay.send({ kind: "layer-skipped", reason, diffId: layer.diffId, index: layer.index });
  return proven;
}
