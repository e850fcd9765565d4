/** The handle of an image whose layers are in the store, its trees made or to be made. */
import type { ImageRecord } from "../store/images.ts";
import { isRealDirectory } from "../store/planted.ts";
import type { FileLock } from "../system/file-lock.ts";
import type { ComposedLayer } from "../tree/tasks.ts";
import { dematerializeOwn } from "../gc/dematerialize.ts";
import { Holds } from "./holds.ts";
import { Image, type PullStats } from "./image.ts";
import { makeRootfsOf } from "./materialize-rootfs.ts";
import { openImageFiles } from "./open-image-files.ts";
import { treesContext, type PullRequest } from "./pull-request.ts";
import type { StoreCore } from "./store-core.ts";
import { composeLayers, ensureTrees } from "./trees.ts";

export interface TreeRef extends Partial<ComposedLayer> {
  readonly treeId: string;
}

export interface ImageParts {
  readonly record: ImageRecord;
  readonly composed: readonly TreeRef[];
  readonly lease: FileLock;
  readonly cached: boolean;
  readonly stats: PullStats;
}

export async function makeImage(request: PullRequest, { record, composed, lease, cached, stats }: ImageParts): Promise<Image> {
  const { core, profile, eager } = request;
  const diffIds = record.layers.map(({ diffId }) => diffId);
  const make = async (signal: AbortSignal, holds: Holds): Promise<void> => {
    if (!composed.some((tree) => tree.resolution) && composed.every(({ treeId }) => isRealDirectory(core.layout.tree(treeId)))) return;
    const context = { ...treesContext(request), signal, holds };
    const isKnown = composed.every((tree) => tree.resolution);
    const known = isKnown ? (composed as readonly ComposedLayer[]) : await composeLayers(diffIds, context);
    await ensureTrees(diffIds, known, context);
  };
  if (eager) await make(request.signal, request.holds);
  return new Image({
    reference: request.name,
    manifestDigest: record.manifestDigest,
    config: record.config,
    profile,
    layers: composed.map(({ treeId }) => core.layout.tree(treeId)),
    cached,
    stats,
    lease,
    dematerialize: (signal) => {
      const only = new Set(composed.map(({ treeId }) => treeId));
      return core.run(signal, (own) => dematerializeOwn(core, { own: { lease, manifestDigest: record.manifestDigest }, only }, own));
    },
    materialize: (signal) =>
      core.run(signal, async (own) => {
        using holds = new Holds();
        await make(own, holds);
      }),
    openFiles: () => core.run(undefined, () => openImageFiles(core, diffIds)),
    makeRootfs: (destination, options) => makeRootfsOf({ core, diffIds, profile }, destination, options),
    exportTo: async (destination, options) => {
      const { exportImageOf } = await import("./write-export.ts");
      return exportImageOf({ core, record, name: request.name }, destination, options);
    },
  });
}

export function isIndexed(core: StoreCore, { layers }: Pick<ImageRecord, "layers">): boolean {
  return layers.every(({ diffId }) => core.layers.record(diffId)?.indexed === true);
}
