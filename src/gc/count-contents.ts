/** How much the contents take, without reading all of the catalog: it keeps a count, which layers are added to when somebody asks. */
import { ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES, type CountedContents } from "../store/catalog/catalog-session.ts";
import type { GcContext } from "../inspect/store-parts.ts";

/** Inodes counted while others wait: some milliseconds. */
const SESSION = 1000;

/** Reads the sidecars of layers that came since the last count. Under locks/gc: no layer goes meanwhile. */
export async function countContents(context: GcContext, signal: AbortSignal | undefined): Promise<CountedContents> {
  const { catalog, layers } = context;
  const counted = new Set(await catalog.session((session) => session.countedLayers(), signal));
  for (const diffId of layers.list()) if (!counted.has(diffId)) await countLayer(context, diffId, signal);
  return catalog.session((session) => session.counted(), signal);
}

async function countLayer(context: GcContext, diffId: DiffId, signal: AbortSignal | undefined): Promise<void> {
  const { catalog } = context;
  const rows = await readRows(context, diffId);
  if (rows?.length === 0) await catalog.session((session) => session.markCounted(diffId), signal);
  if (!rows) return;
  let expected: CountedContents | undefined;
  for (let at = 0; at < rows.length; at += SESSION * INODE_ROW_BYTES) {
    const part = rows.subarray(at, at + SESSION * INODE_ROW_BYTES);
    const soFar = expected;
    const isLast = at + part.length === rows.length;
    expected = await catalog.session(async (session) => {
      const before = await session.counted();
      // a catalog that was rebuilt meanwhile has forgotten the first parts
      if (soFar && soFar.chunks !== before.chunks) return undefined;
      const after = await session.countInodes(part);
      if (isLast) await session.markCounted(diffId);
      return after;
    }, signal);
    if (!expected) return;
  }
}

/** Undefined for a damaged layer: it has to be fetched again anyhow. */
async function readRows({ layers, pool, superblock, warn }: GcContext, diffId: DiffId): Promise<Uint8Array | undefined> {
  const { profile: native, owner } = superblock;
  try {
    return await pool.run<Uint8Array>("tree/inodes", { sidecar: layers.sidecarPath(diffId), native, owner });
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
    warn(error.code, error.message);
    return undefined;
  }
}
