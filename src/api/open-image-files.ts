/** Opens an image's files for reading without trees. */
import type { DiffId } from "../image/digest.ts";
import { ImageFiles } from "../view/image-files.ts";
import { openSidecars } from "../view/open-sidecars.ts";
import type { StoreCore } from "../session/store-core.ts";

/** `diffIds` bottom to top. A worker builds the path index of a sidecar without one, in memory. */
export async function openImageFiles(core: StoreCore, diffIds: readonly DiffId[]): Promise<ImageFiles> {
  const sources = await Promise.all(
    diffIds.map(async (diffId) => {
      const path = core.layers.sidecarPath(diffId);
      const isIndexed = core.layers.record(diffId)?.indexed !== false;
      return { diffId, path, indexed: isIndexed ? undefined : await core.pool.run("tree/index", path) };
    }),
  );
  const { profile: native, owner } = core.superblock;
  return new ImageFiles({ sidecars: await openSidecars(sources), chunks: core.layout.chunks, native, owner });
}
