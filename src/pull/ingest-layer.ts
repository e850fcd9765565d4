/** Fetches, ingests and publishes one layer, under its lock. */
import { mkdirSync } from "node:fs";
import { isErrno, ShaleError } from "../errors.ts";
import type { StagedTreeTask } from "../ingest/pipeline/engine.ts";
import type { IngestedLayer } from "../ingest/pipeline/ingest.ts";
import { readGeneration } from "../store/generation.ts";
import { removeLayerDirectory } from "../store/layers.ts";
import { FileLock } from "../system/file-lock.ts";
import { removeStagedTree } from "../tree/materialize.ts";
import type { StagedTree } from "./holds.ts";
import { LayerBlob } from "./layer-blob.ts";
import { proofOf, spoolOf, type LayerContext, type LayerTraffic, type NumberedLayer } from "./layer-context.ts";
import { refuseLargeBlob } from "./limits.ts";
import type { LockRecord } from "./lock-record.ts";
import { ProgressRelay } from "./progress-relay.ts";

/** Attempts that garbage collection may undo before the pull fails with STORE_BUSY. */
const MAX_SWEPT = 3;

/**
 * Repeats the attempt in two cases: the blob was wrong (once, from another host if there is one), or garbage collection removed
 * chunks that the attempt had found in the store. `report` gets the progress for those who wait for this layer.
 */
export async function ingestLayer(
  layer: NumberedLayer,
  context: LayerContext,
  report: (record: LockRecord) => void,
): Promise<LayerTraffic> {
  const { store, relay, limits, signal, provenFor } = context;
  refuseLargeBlob(layer.descriptor, limits.blobBytes);
  const proof = provenFor === undefined ? undefined : proofOf(layer, provenFor);
  using blob = openBlob(layer, context);
  let wasWrong = false;
  for (let swept = 0; swept < MAX_SWEPT;) {
    try {
      const ingested = await ingestOnce(layer, context, { blob, report, forget: swept > 0 });
      if (ingested === undefined) {
        swept++;
        continue;
      }
      blob.done();
      if (proof !== undefined) store.proofs.add(proof);
      return { fetched: blob.fetched, resumed: blob.resumed, ingested: true, tree: ingested.tree };
    } catch (error) {
      if (!blob.failed(error) || wasWrong || signal.aborted) throw error;
      wasWrong = true;
      const { code, message } = ProgressRelay.describe(error);
      relay.warn(code, message);
    }
  }
  const message = `garbage collection kept removing data that layer ${layer.diffId} needs; pull again when it has ended`;
  throw new ShaleError("STORE_BUSY", message, { path: store.layout.root });
}

function openBlob(layer: NumberedLayer, context: LayerContext): LayerBlob {
  const { store, relay, source, reference, keepBlobs, force, signal, provenFor } = context;
  const { diffId, index, descriptor } = layer;
  return new LayerBlob({
    source,
    reference,
    descriptor,
    spool: spoolOf(layer, context),
    kept: store.layout.blob(descriptor.digest),
    keep: keepBlobs,
    force: force || provenFor !== undefined,
    signal,
    onEvent: (event) => relay.send({ ...event, diffId, index }),
    onResumed: (bytes) => relay.send({ kind: "download-resumed", diffId, index, bytes }),
  });
}

interface Attempt {
  readonly blob: LayerBlob;
  readonly report: (record: LockRecord) => void;
  /** Use no knowledge of which chunks exist. */
  readonly forget: boolean;
}

/** Undefined if garbage collection removed chunks meanwhile. A staged tree is returned, or removed. */
async function ingestOnce(
  layer: NumberedLayer,
  context: LayerContext,
  attempt: Attempt,
): Promise<{ readonly tree?: StagedTree } | undefined> {
  const { store, relay, used } = context;
  const { diffId, index } = layer;
  const sweepLock = store.layout.lock("sweep");
  const generation = readGeneration(sweepLock);
  const directory = store.staging.fresh("layer");
  const treeTask = used && { directory: store.staging.fresh("tree"), used };
  if (treeTask) mkdirSync(treeTask.directory, { mode: 0o700 });
  let tree: StagedTree | undefined;
  try {
    const ingested = await runIngest(layer, context, { ...attempt, directory, treeTask, generation });
    if (ingested === undefined) return undefined;
    const { sidecarBytes, size, entries, placed } = ingested;
    relay.send({ kind: "sidecar-complete", diffId, index, bytes: sidecarBytes });
    if (!(await publish(layer, context, { ...ingested, directory, generation }))) return undefined;
    relay.send({ kind: "ingest-complete", diffId, index, bytes: size, entries });
    // after a sweep, a file of the staged tree may no longer be the inode that chunks/ has
    if (treeTask && placed && readGeneration(sweepLock) === generation) tree = { directory: treeTask.directory, placed };
    return tree === undefined ? {} : { tree };
  } finally {
    // publishing has renamed the directory away
    removeLayerDirectory(directory);
    if (treeTask && tree === undefined) await removeStagedTree(treeTask.directory);
  }
}

interface StagedAttempt extends Attempt {
  readonly directory: string;
  readonly treeTask: StagedTreeTask | undefined;
  /** Of the sweep, when the attempt began. */
  readonly generation: bigint;
}

async function runIngest(layer: NumberedLayer, context: LayerContext, attempt: StagedAttempt): Promise<IngestedLayer | undefined> {
  const { store, relay, force, buildIndex, limits, budget, signal } = context;
  const { diffId, index, descriptor } = layer;
  const { blob, report, forget, directory, treeTask, generation } = attempt;
  const total = descriptor.size;
  let bytes = 0;
  let entries = 0;
  let settling = false;
  relay.send({ kind: "download-started", diffId, index, total });
  relay.send({ kind: "ingest-started", diffId, index });
  const ingesting = store.ingest.ingest({
    diffId,
    descriptor,
    directory,
    buildIndex,
    forget,
    limits,
    signal,
    tree: treeTask,
    verifyContent: force,
    blob: blob.bytes(),
    onDownloaded: (count) => {
      bytes += count;
      relay.advance({ kind: "download-advanced", diffId, index, bytes, total });
      report({ phase: "fetching", bytes, total, entries });
    },
    onUnpacked: (unpacked, found) => {
      entries = found;
      budget.set(diffId, unpacked);
      relay.advance({ kind: "ingest-advanced", diffId, index, bytes: unpacked, entries });
    },
    onSettling: () => {
      settling = true;
      relay.send({ kind: "download-complete", diffId, index, bytes });
      relay.send({ kind: "sidecar-started", diffId, index });
    },
  });
  return ingesting.catch((error: unknown) => {
    // settling copies a chunk whose attributes a hard link changed; a sweep may have removed it
    if (settling && isErrno(error, "ENOENT") && readGeneration(store.layout.lock("sweep")) !== generation) return undefined;
    throw error;
  });
}

interface StagedLayer extends Pick<IngestedLayer, "inodes" | "size" | "entries"> {
  readonly directory: string;
  readonly generation: bigint;
}

/** Announces the edges, then publishes the layer, with no sweep between: the catalog never under-counts. False if chunks are missing. */
async function publish(
  { diffId }: NumberedLayer,
  { store, buildIndex, durability, signal }: LayerContext,
  { directory, generation, inodes, size, entries }: StagedLayer,
): Promise<boolean> {
  const path = store.layout.lock("sweep");
  using sweep = await FileLock.acquire(path, { mode: "shared", signal });
  if (readGeneration(path) !== generation) {
    const request = { rows: inodes, chunks: store.layout.chunks };
    if (!(await store.pool.run("tree/chunks-there", request))) return false;
  }
  signal.throwIfAborted();
  store.catalog.announce({ diffId, inodes }, store.staging.fresh("edges"));
  store.layers.publish(directory, { diffId, size, entries, indexed: buildIndex });
  sweep.release();
  store.tidyCatalog();
  if (durability === "barrier") store.layers.makeDurable([diffId]);
  return true;
}
