/** Finds the chunks that interrupted ingests left behind: files that no layer has as an inode in any profile. */
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { isErrno, ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { INODE_ROW_BYTES } from "../store/catalog/catalog-session.ts";
import { inodeIdAt, inodeIdOf, inodeNameOf, type InodeId, type InodeName } from "../store/ids.ts";
import { isShard, parseLinkSource, parseLockName, type StoreLayout } from "../store/layout.ts";
import { PROFILES, type Profile } from "../store/profile.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import type { StoreParts } from "./store-parts.ts";

interface Orphan {
  readonly id: InodeId;
  readonly path: string;
  readonly bytes: number;
}

/** Inodes that are looked up in one session of the catalog: some milliseconds. */
const GROUP = 256;

export interface FoundOrphans {
  readonly orphans: readonly Orphan[];
  /** The layers whose sidecars were read. A layer that is published later may use an orphan. */
  readonly layers: ReadonlySet<DiffId>;
}

/**
 * Searches only if an ingest was interrupted, because it reads all names in chunks/ and all sidecars. Returns undefined if orphans cannot
 * be told from chunks in use: an ingest runs, an image has a layer that must be fetched again, or a sidecar is damaged.
 */
export async function findOrphans(parts: StoreParts, signal?: AbortSignal): Promise<FoundOrphans | undefined> {
  const { layout, images } = parts;
  if (interruptedIngests(layout).length === 0) return { orphans: [], layers: new Set() };
  if (isIngestRunning(layout)) return undefined;
  const recorded = images.records().flatMap((digest) => images.record(digest)?.layers ?? []);
  if (recorded.some(({ diffId }) => !existsSync(layout.layer(diffId)))) return undefined;
  const names = await listChunks(layout.chunks, signal);
  const layers = new Set(parts.layers.list());
  for (const diffId of layers) {
    for (const native of PROFILES) {
      signal?.throwIfAborted();
      const rows = await readRows(parts, diffId, native);
      if (!rows) return undefined;
      for (let at = 0; at < rows.length; at += INODE_ROW_BYTES) names.delete(inodeNameOf(inodeIdAt(rows, at)));
      await nextTurn();
    }
  }
  await removeKnown(parts, names, signal);
  const orphans = [...names].flatMap(([name, files]) =>
    files.flatMap((file) => {
      const path = join(layout.chunks, name.slice(0, 2), file);
      const stat = lstatSync(path, { throwIfNoEntry: false });
      return stat?.isFile() ? [{ id: inodeIdOf(name), path, bytes: stat.size }] : [];
    }),
  );
  return { orphans, layers };
}

/** Removes the inodes that the catalog knows: their layer was announced and is about to be published. */
async function removeKnown({ catalog }: StoreParts, names: Map<InodeName, unknown>, signal: AbortSignal | undefined): Promise<void> {
  const all = [...names.keys()].map(inodeIdOf).sort((a, b) => Buffer.compare(a, b));
  for (let at = 0; at < all.length; at += GROUP) {
    const ids = all.slice(at, at + GROUP);
    const unknown = new Set(await catalog.session((session) => session.unusedWithout(ids, new Set()), signal));
    ids.forEach((id, index) => {
      if (!unknown.has(index)) names.delete(inodeNameOf(id));
    });
  }
}

/** Returns the layers that a process began to ingest and that do not exist: the lock file of a layer that was removed is deleted. */
function interruptedIngests(layout: StoreLayout): DiffId[] {
  const diffIds = namesIn(layout.locks).flatMap((name) => {
    const lock = parseLockName(name);
    return lock?.kind === "layer" ? [lock.diffId] : [];
  });
  return diffIds.filter((diffId) => !existsSync(layout.layer(diffId)));
}

/** True if a process is ingesting a layer that does not exist yet. */
export function isIngestRunning(layout: StoreLayout): boolean {
  return interruptedIngests(layout).some((diffId) => {
    using lock = FileLock.try(layout.layerLock(diffId));
    return lock === undefined;
  });
}

/** Returns the file names by inode id in base32. */
async function listChunks(chunks: string, signal: AbortSignal | undefined): Promise<Map<InodeName, string[]>> {
  const found = new Map<InodeName, string[]>();
  for (const shard of readdirSync(chunks).filter(isShard)) {
    signal?.throwIfAborted();
    for (const file of namesIn(join(chunks, shard))) {
      const name = parseLinkSource(shard, file)?.inode;
      if (name === undefined) continue;
      const files = found.get(name);
      if (files) files.push(file);
      else found.set(name, [file]);
    }
    await nextTurn();
  }
  return found;
}

/** Undefined if the sidecar is damaged, or the layer was removed meanwhile. */
async function readRows({ layers, pool, superblock }: StoreParts, diffId: DiffId, native: Profile): Promise<Uint8Array | undefined> {
  try {
    return await pool.run("tree/inodes", { sidecar: layers.sidecarPath(diffId), native, owner: superblock.owner });
  } catch (error) {
    if (!ShaleError.is(error, "SIDECAR_INVALID") && !isErrno(error, "ENOENT")) throw error;
    return undefined;
  }
}
