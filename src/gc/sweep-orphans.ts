/** Deletes the chunks that interrupted ingests left behind. */
import { findOrphans } from "../inspect/find-orphans.ts";
import type { GcParts } from "./gc-parts.ts";
import { bumpGeneration } from "../store/generation.ts";
import { Shards } from "../store/real-directory.ts";
import { FileLock } from "../system/file-lock.ts";
import { addSwept, type GcOptions, type Tally } from "./gc-result.ts";
import { unlinkInParallel } from "./unlink-in-parallel.ts";

/** Files that are unlinked under one hold of the sweep lock: some milliseconds. */
const GROUP = 128;

/**
 * Safe beside an ingest that begins meanwhile: the generation changes, so it checks its chunks again before it publishes. Stops if a
 * layer was announced or published that may use an orphan. Returns false if orphans may be left.
 */
export async function sweepOrphans(parts: GcParts, { dryRun, signal }: GcOptions, tally: Tally): Promise<boolean> {
  const { layout, layers, catalog, pool } = parts;
  const found = await findOrphans(parts, signal);
  if (!found) return false;
  const shards = new Shards();
  for (let at = 0; at < found.orphans.length; at += GROUP) {
    signal?.throwIfAborted();
    const group = found.orphans.slice(at, at + GROUP);
    if (!dryRun) {
      for (const { path } of group) shards.check(path);
      using lock = await FileLock.acquire(layout.lock("sweep"), { signal });
      const isNew = layers.list().some((diffId) => !found.layers.has(diffId));
      if (isNew || catalog.pending.among(group.map(({ id }) => id)).size > 0) return false;
      bumpGeneration(lock);
      const paths = group.map(({ path }) => path);
      await unlinkInParallel(pool, paths, Infinity);
    }
    addSwept(tally, { chunks: group.length, bytes: group.reduce((sum, { bytes }) => sum + bytes, 0) });
  }
  return true;
}
