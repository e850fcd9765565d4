/** Counts the contents of the store without reading the whole catalog: the catalog keeps a count, to which new layers are added on demand. */
import type { DiffId } from "../image/digest.ts";
import type { GcParts } from "./gc-parts.ts";
import { INODE_ROW_BYTES, type CountedContents } from "../store/catalog/catalog-session.ts";
import { readRows } from "./sweep-layer.ts";

/** Inodes that one session of the catalog counts: some milliseconds. */
const INODES = 1000;

/** Reads the sidecars of the layers that were added since the last count. The caller holds locks/gc, so no layer is removed meanwhile. */
export async function countContents(parts: GcParts, signal: AbortSignal | undefined): Promise<CountedContents> {
  const { catalog, layers } = parts;
  const counted = new Set(await catalog.session((session) => session.countedLayers(), signal));
  for (const diffId of layers.list()) if (!counted.has(diffId)) await countLayer(parts, diffId, signal);
  return catalog.session((session) => session.counted(), signal);
}

async function countLayer(parts: GcParts, diffId: DiffId, signal: AbortSignal | undefined): Promise<void> {
  const { catalog } = parts;
  const rows = await readRows(parts, parts.layers.sidecarPath(diffId));
  if (rows?.length === 0) await catalog.session((session) => session.markCounted(diffId), signal);
  if (!rows) return;
  let expected: CountedContents | undefined;
  for (let at = 0; at < rows.length; at += INODES * INODE_ROW_BYTES) {
    const slice = rows.subarray(at, at + INODES * INODE_ROW_BYTES);
    const soFar = expected;
    const isLast = at + slice.length === rows.length;
    expected = await catalog.session(async (session) => {
      const before = await session.counted();
      // the catalog was rebuilt meanwhile and no longer contains the earlier slices
      if (soFar && soFar.chunks !== before.chunks) return undefined;
      const after = await session.countInodes(slice);
      if (isLast) await session.markCounted(diffId);
      return after;
    }, signal);
    if (!expected) return;
  }
}
