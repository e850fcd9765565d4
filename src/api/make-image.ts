/** The handle of an image whose layers are in the store, its trees made or to be made. */
import type { ImageRecord } from "../store/images.ts";
import { isRealDirectory } from "../store/real-directory.ts";
import type { FileLock } from "../system/file-lock.ts";
import type { ComposedLayer } from "../tree/tasks.ts";
import { Holds } from "../pull/holds.ts";
import { Image, type PullStats } from "./image.ts";
import { treesContext, wholeRequest, type PullRequest } from "../pull/pull-request.ts";
import type { StoreCore } from "../session/store-core.ts";

export interface TreeRef extends Partial<ComposedLayer> {
  readonly treeId: string;
}

export interface ImageParts {
  readonly record: ImageRecord;
  readonly composed: readonly TreeRef[];
  /** Every tree was seen to be there, under the lease. */
  readonly present?: boolean;
  readonly lease: FileLock;
  readonly cached: boolean;
  readonly stats: PullStats;
}

export async function makeImage(
  request: PullRequest,
  { record, composed, present = false, lease, cached, stats }: ImageParts,
): Promise<Image> {
  const { core, profile, eager } = request;
  const diffIds = record.layers.map(({ diffId }) => diffId);
  const make = async (signal: AbortSignal, holds: Holds): Promise<void> => {
    if (!composed.some((tree) => tree.resolution) && composed.every(({ treeId }) => isRealDirectory(core.layout.tree(treeId)))) return;
    const { composeForTrees, ensureTrees } = await import("../pull/trees.ts");
    const context = { ...treesContext(await wholeRequest(request)), signal, holds };
    const isKnown = composed.every((tree) => tree.resolution);
    const known = isKnown ? (composed as readonly ComposedLayer[]) : await composeForTrees(diffIds, context);
    await ensureTrees(diffIds, known, context);
  };
  if (eager && !present) await make(request.signal, request.holds);
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
      return core.run(signal, async (own) => {
        const { dematerializeOwn } = await import("../gc/dematerialize.ts");
        return dematerializeOwn(await core.whole(), { own: { lease, manifestDigest: record.manifestDigest }, only }, own);
      });
    },
    materialize: (signal) =>
      core.run(signal, async (own) => {
        using holds = new Holds();
        await make(own, holds);
      }),
    openFiles: () =>
      core.run(undefined, async () => {
        const { openImageFiles } = await import("./open-image-files.ts");
        return openImageFiles(await core.whole(), diffIds);
      }),
    readDocument: async (kind) => {
      const { readStoredDocument } = await import("./read-stored-document.ts");
      return readStoredDocument(core, kind, kind === "manifest" ? record.manifestDigest : record.configDigest);
    },
    makeRootfs: async (destination, options) => {
      const { makeRootfsOf } = await import("./materialize-rootfs.ts");
      return core.run(undefined, async () => makeRootfsOf({ core: await core.whole(), diffIds, profile }, destination, options));
    },
    exportTo: async (destination, options) => {
      const { exportImageOf } = await import("../export/export-image.ts");
      return exportImageOf({ core: await core.whole(), record, name: request.name }, destination, options);
    },
  });
}

export function isIndexed(core: StoreCore, { layers }: Pick<ImageRecord, "layers">): boolean {
  return layers.every(({ diffId }) => core.layers.record(diffId)?.indexed === true);
}
