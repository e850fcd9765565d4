/** Checks each layer's own files, and withdraws a layer that cannot be repaired, so that the next pull fetches it. */
import { existsSync, lstatSync } from "node:fs";
import { PROFILES, type Profile } from "../store/profile.ts";
import type { DiffId } from "../image/digest.ts";
import type { TreeId } from "../store/ids.ts";
import { Images } from "../store/images.ts";
import { FileLock } from "../system/file-lock.ts";
import { mapInOrder, type FsckContext } from "./fsck-context.ts";
import { finding, type Finding } from "./finding.ts";
import type { CheckedLayer, InodeTable, LayerRequest } from "./fsck-tasks.ts";

/** An intact layer, with its inodes in each profile in which the store has trees. */
export interface LayerTables {
  readonly diffId: DiffId;
  readonly profiles: readonly Profile[];
  readonly tables: readonly InodeTable[];
  readonly live: number;
}

interface Outcome {
  readonly diffId: DiffId;
  readonly fault?: Finding;
  readonly checked?: CheckedLayer;
}

/** Yields findings, and adds intact layers to `tables` and `context.known`. */
export async function* checkLayers(context: FsckContext, tables: LayerTables[]): AsyncGenerator<Finding> {
  const diffIds = context.layers.list().sort((a, b) => (a < b ? -1 : 1));
  const profiles = profilesInUse(context);
  let done = 0;
  const results = mapInOrder(diffIds, { concurrency: context.pool.size, signal: context.signal }, (diffId) =>
    checkLayer(context, diffId, profiles),
  );
  for await (const { diffId, fault, checked } of results) {
    context.progress("layers", ++done, diffIds.length);
    if (fault) yield await context.corrected(fault, "layer withdrawn; the next pull fetches it", () => withdrawLayer(context, diffId));
    if (!checked) continue;
    tables.push({ diffId, profiles, tables: checked.tables, live: checked.live });
    context.known.set(diffId, { diffId, inodes: Buffer.from(checked.tables[0]!.ids) });
  }
}

/** Returns the native profile, then the other profiles in which images have trees. */
function profilesInUse({ superblock, records }: FsckContext): Profile[] {
  const used = new Set<string>([superblock.profile, ...[...records.values()].flatMap(({ trees }) => Object.keys(trees))]);
  return [superblock.profile, ...PROFILES.filter((profile) => profile !== superblock.profile && used.has(profile))];
}

/** Checks again if the layer was replaced or removed meanwhile: the result may mix the old and the new one. */
async function checkLayer(context: FsckContext, diffId: DiffId, profiles: readonly Profile[]): Promise<Outcome> {
  for (let attempt = 0; ; attempt++) {
    const before = identity(context, diffId);
    const outcome = await checkOnce(context, diffId, profiles);
    const after = identity(context, diffId);
    if (before === after || attempt === 3) return after === undefined ? { diffId } : outcome;
  }
}

async function checkOnce(context: FsckContext, diffId: DiffId, profiles: readonly Profile[]): Promise<Outcome> {
  const { layout, layers, superblock, level } = context;
  const images = context.imagesWith(new Set([diffId]));
  const record = layers.record(diffId);
  if (!record)
    return {
      diffId,
      fault: finding("layer-record", context.relative(layout.layerRecord(diffId)), {
        expected: "the layer's record",
        found: "missing or damaged",
        images,
      }),
    };
  const [sidecar, headers] = [layers.sidecarPath(diffId), layers.headersPath(diffId)];
  const request: LayerRequest = { diffId, sidecar, headers, owner: superblock.owner, profiles, deep: level !== "quick" };
  const checked = await context.unlessRemoved([diffId], () => context.pool.run("fsck/layer", request));
  if (!checked) return { diffId };
  if (!checked.fault) return { diffId, checked };
  const { kind, found, offset } = checked.fault;
  const object = context.relative(kind.startsWith("sidecar") ? sidecar : headers);
  return { diffId, fault: finding(kind, object, { found, images, ...(offset !== undefined && { path: `byte ${offset}` }) }) };
}

function identity({ layout }: FsckContext, diffId: DiffId): string | undefined {
  const stats = [layout.layer(diffId), layout.sidecar(diffId)].map((path) => lstatSync(path, { throwIfNoEntry: false }));
  return stats[0] && stats.map((stat) => stat?.ino).join();
}

/**
 * Withdraws a layer so that a pull notices: the image records that have it are no longer trusted, and damaged trees are moved to
 * staging. They are not deleted, because a sandbox may be running in them.
 */
export async function withdrawLayer(context: FsckContext, diffId: DiffId, damagedTrees: Iterable<TreeId> = []): Promise<void> {
  const { layout, layers, signal } = context;
  using lock = await FileLock.acquire(layout.layerLock(diffId), { signal });
  void lock;
  const images = new Images(layout, () => {});
  for (const record of context.records.values()) {
    if (record.layers.some((layer) => layer.diffId === diffId)) images.writeRecord({ ...record, bootId: "" });
  }
  for (const treeId of damagedTrees) if (existsSync(layout.tree(treeId))) context.setAside(layout.tree(treeId));
  layers.withdraw(diffId, context.fresh("withdrawn"));
  context.known.delete(diffId);
}

/** Rebuilds every layer from headers and chunks, and compares it with its diff ID. */
export async function* rebuildLayers(context: FsckContext): AsyncGenerator<Finding> {
  const { layers, layout, superblock, pool, signal } = context;
  const known = [...context.known.keys()];
  let done = 0;
  const results = mapInOrder(known, { concurrency: pool.size, signal }, async (diffId) => {
    const { profile: native, owner } = superblock;
    const request = {
      diffId,
      sidecar: layers.sidecarPath(diffId),
      headers: layers.headersPath(diffId),
      chunks: layout.chunks,
      native,
      owner,
    };
    const rebuild = (): Promise<{ expected: string; found: string } | undefined> => pool.run("fsck/rebuild", request);
    return { diffId, wrong: await context.unlessRemoved([diffId], rebuild) };
  });
  for await (const { diffId, wrong } of results) {
    context.progress("rebuild", ++done, known.length);
    if (!wrong || !existsSync(layout.layer(diffId))) continue;
    const found = finding("layer-content", context.relative(layout.layer(diffId)), {
      ...wrong,
      images: context.imagesWith(new Set([diffId])),
    });
    yield await context.corrected(found, "layer withdrawn; the next pull fetches it", () => withdrawLayer(context, diffId));
  }
}
