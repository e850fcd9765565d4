/** Fetches the layers of one image, several at a time; the first failure stops the others. */
import type { DiffId } from "../image/digest.ts";
import type { LayerIdentity } from "../image/manifest.ts";
import type { Source } from "../source/source.ts";
import { MadeInodes } from "../store/made-inodes.ts";
import { EarlyTrees } from "./early-trees.ts";
import { ensureLayer } from "./ensure-layer.ts";
import type { Holds } from "./holds.ts";
import type { LayerContext, LayerTraffic, NumberedLayer } from "./layer-context.ts";
import { ImageBudget } from "./limits.ts";
import { repositoryOf } from "./prove-layer.ts";
import type { PullRequest } from "./pull-request.ts";
import type { PullStore } from "./pull-store.ts";

export interface FetchLayersRequest extends Omit<PullRequest, "source"> {
  /** Of the image, bottom to top; a layer may occur twice. */
  readonly layers: readonly LayerIdentity[];
  readonly source: Source;
  /** Receives the staged trees, and the locks of trees that were created early. */
  readonly holds: Holds;
}

/** Each distinct layer once, reported at its lowest index. One result per distinct layer; undefined if nothing was fetched for it. */
export async function fetchLayers(store: PullStore, request: FetchLayersRequest): Promise<readonly (LayerTraffic | undefined)[]> {
  const { relay, holds, layers } = request;
  const abort = new AbortController();
  const signal = AbortSignal.any([request.signal, abort.signal]);
  const distinct = distinctLayers(layers);
  const context = layerContext(store, { ...request, signal }, (error) => abort.abort(error));
  const trees = earlyTrees(store, { ...request, signal }, (error) => abort.abort(error));
  const works = inOrderOfWork(store, distinct, request.force).map((layer) =>
    store.queued(signal, async () => {
      const traffic = await ensureLayer(layer, context);
      if (traffic?.ingested) holds.ingested.set(layer.diffId, traffic.tree);
      trees?.ready(layer.diffId);
      return traffic;
    }),
  );
  try {
    const traffic = await Promise.all(works);
    await trees?.end();
    abort.signal.throwIfAborted();
    for (const [index, { diffId }] of layers.entries())
      if (distinct.get(diffId)?.index !== index) relay.send({ kind: "layer-skipped", reason: "in-store", diffId, index });
    return traffic;
  } catch (error) {
    // return only when all work has stopped: the caller may close the store
    abort.abort(error);
    await Promise.allSettled(works);
    await trees?.end();
    throw error;
  }
}

/** By diff ID, at the lowest index. */
function distinctLayers(layers: readonly LayerIdentity[]): ReadonlyMap<DiffId, NumberedLayer> {
  return new Map(layers.map((layer, index) => [layer.diffId, { ...layer, index }] as const).reverse());
}

/** Layers of the store first, so that progress knows what remains; then the largest blobs first, so that none starts last. */
function inOrderOfWork(store: PullStore, layers: ReadonlyMap<DiffId, NumberedLayer>, force: boolean): NumberedLayer[] {
  const isPresent = ({ diffId }: LayerIdentity): number => (!force && store.layers.state(diffId) === "present" ? 1 : 0);
  const known = [...layers.values()].map((layer) => ({ layer, present: isPresent(layer) }));
  known.sort((a, b) => b.present - a.present || b.layer.descriptor.size - a.layer.descriptor.size || a.layer.index - b.layer.index);
  return known.map(({ layer }) => layer);
}

function layerContext(store: PullStore, request: FetchLayersRequest, refuse: (error: Error) => void): LayerContext {
  const { reference, relay, force, buildIndex, durability, keepBlobs, limits, source, signal, requireProof } = request;
  // without the path index the entries of the sidecar are not in the order of the tree's plan
  const stages = request.eager && !force && buildIndex && request.profile === store.profile;
  return {
    store,
    reference,
    relay,
    force,
    buildIndex,
    durability,
    keepBlobs,
    limits,
    source,
    signal,
    used: stages ? new MadeInodes().memory : undefined,
    provenFor: requireProof ? repositoryOf(reference) : undefined,
    budget: new ImageBudget(limits.imageBytes, refuse),
  };
}

/** A forced pull takes each tree's lock exclusively, in a fixed order, so it creates none early. */
function earlyTrees(store: PullStore, request: FetchLayersRequest, onFailure: (error: unknown) => void): EarlyTrees | undefined {
  const { eager, force, profile, relay, holds, signal, layers } = request;
  if (!eager || force) return undefined;
  return new EarlyTrees({ store, profile, relay, holds, signal, force, diffIds: layers.map(({ diffId }) => diffId), onFailure });
}
