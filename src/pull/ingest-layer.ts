/** One layer, fetched, ingested and published by whoever holds its lock. Wrong bytes, and a gc that comes between, start it over. */
import { mkdirSync } from "node:fs";
import { isErrno, ShaleError } from "../errors.ts";
import type { LayerIdentity } from "../image/manifest.ts";
import type { StagedTreeTask } from "../ingest/pipeline/engine.ts";
import { readGeneration } from "../store/generation.ts";
import { removeLayerDirectory } from "../store/layers.ts";
import { FileLock } from "../system/file-lock.ts";
import { removeStagedTree } from "../tree/materialize.ts";
import type { StagedTree } from "./holds.ts";
import { LayerBlob } from "./layer-blob.ts";
import { proofOf, spoolOf, type LayerContext, type LayerTraffic } from "./layer-context.ts";
import { refuseLargeBlob } from "./limits.ts";
import type { LockRecorder } from "./lock-record.ts";
import type { LayerProgress } from "./progress.ts";
import { ProgressRelay } from "./progress-relay.ts";

/** Wrong bytes are asked for once more, from another host if there is one. */
export async function ingestLayer(
  layer: LayerIdentity & { index: number },
  context: LayerContext,
  recorder: LockRecorder,
): Promise<LayerTraffic> {
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
    const { tree } = await ingestUndisturbed(layer, context, { recorder, blob });
    blob.done();
    if (proof !== undefined) core.proofs.add(proof);
    return { fetched: blob.fetched, resumed: blob.resumed, ingested: true, tree };
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
async function ingestUndisturbed(layer: LayerIdentity & { index: number }, context: LayerContext, feed: Feed): Promise<Ingested> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const ingested = await ingestStaging(layer, context, { ...feed, forget: attempt > 0 });
    if (ingested) return ingested;
  }
  throw new ShaleError("STORE_BUSY", `garbage collection kept removing what layer ${layer.diffId} needs; try again when it has ended`, {
    path: context.core.layout.root,
  });
}

interface Ingested {
  /** If one was staged, and is of use. */
  readonly tree?: StagedTree | undefined;
}

interface Attempt extends Feed {
  readonly forget: boolean;
}

/** Undefined when chunks were removed meanwhile. The tree that is staged meanwhile is given, or goes. */
async function ingestStaging(
  layer: LayerIdentity & { index: number },
  context: LayerContext,
  attempt: Attempt,
): Promise<Ingested | undefined> {
  const { used } = context;
  if (used === undefined) return ingestOnce(layer, context, attempt);
  const directory = context.core.staging.fresh("tree");
  mkdirSync(directory, { mode: 0o700 });
  let ingested: Ingested | undefined;
  try {
    return (ingested = await ingestOnce(layer, context, { ...attempt, tree: { directory, used } }));
  } finally {
    if (ingested?.tree === undefined) await removeStagedTree(directory);
  }
}

/** Undefined when chunks were removed meanwhile. */
async function ingestOnce(
  layer: LayerIdentity & { index: number },
  context: LayerContext,
  { recorder, blob, forget, tree }: Attempt & { readonly tree?: StagedTreeTask },
): Promise<Ingested | undefined> {
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
    tree,
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
  if (ingested === undefined) return undefined;
  relay.send({ kind: "sidecar-complete", ...about, bytes: ingested.sidecarBytes });
  const { inodes, size, entries: all, placed } = ingested;
  if (!(await publish(layer, context, { directory, generation, inodes, size, entries: all }))) return undefined;
  relay.send({ kind: "ingest-complete", ...about, bytes: ingested.size, entries: ingested.entries });
  // a file that was linked into the tree may have been removed since from chunks/, and made again as another inode
  if (tree === undefined || placed === undefined || readGeneration(core.layout.lock("sweep")) !== generation) return {};
  return { tree: { directory: tree.directory, placed } };
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
