/** Checks every link source against the sidecars. Checks an inode once, however many layers have it. */
import { existsSync, lstatSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { fsPath, toByteString, type ByteString } from "../bytes.ts";
import type { DiffId } from "../image/digest.ts";
import { isIngestRunning } from "../inspect/find-orphans.ts";
import { isYoung } from "../inspect/roots.ts";
import { INODE_ID_BYTES, inodeIdAt, inodeIdOf, inodeNameOf, type InodeId, type InodeName, type TreeId } from "../store/ids.ts";
import { bumpGeneration } from "../store/generation.ts";
import { chunkPathByName, isShard, parseLinkSource } from "../store/layout.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import { withdrawLayer, type LayerTables } from "./check-layers.ts";
import { foreignNames } from "./check-directories.ts";
import { mapInOrder, type FsckContext, type KnownTree } from "./fsck-context.ts";
import { finding, type Finding } from "./finding.ts";
import type { ChunksRequest, FoundFault, UsesRequest } from "./fsck-tasks.ts";

/** Number of inodes in one request to a worker. */
const SLICE = 1000;

interface Job extends ChunksRequest {
  readonly diffId: DiffId;
}

export async function* checkChunks(context: FsckContext, layers: readonly LayerTables[]): AsyncGenerator<Finding> {
  const { layout, pool, signal } = context;
  yield* foreignChunks(context);
  const inventory = listChunks(layout.chunks);
  const used = new Set<InodeName>();
  const jobs = [...planJobs(context, layers, { inventory, used })];
  let done = 0;
  const results = mapInOrder(jobs, { concurrency: pool.size * 2, signal }, async (job) => ({
    job,
    faults: (await context.unlessRemoved([job.diffId], () => pool.run("fsck/chunks", job))) ?? [],
  }));
  for await (const { job, faults } of results) {
    context.progress("chunks", ++done, jobs.length);
    if (faults.length === 0) continue;
    const uses = await findUses(context, [...new Set(faults.map(({ inode }) => inode))]);
    const groups = Map.groupBy(faults, ({ inode, ordinal }) => `${inode}.${ordinal}`);
    for (const group of groups.values()) yield* reportChunk(context, { job, uses }, group);
  }
  const unused = [...inventory]
    .filter(([name]) => !used.has(name))
    .flatMap(([name, ordinals]) => ordinals.map((ordinal) => chunkPathByName(layout.chunks, name, ordinal)));
  // a running ingest may use them, and so may a layer that must be fetched again
  const missing = [...context.records.values()].flatMap((record) => record.layers).some(({ diffId }) => !context.known.has(diffId));
  const isWanted = missing || isIngestRunning(layout);
  for (const path of unused)
    yield await context.corrected(finding("chunk-unused", context.relative(path)), "removed", () => removeUnused(context, path, isWanted));
}

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * With `isWanted` it keeps a young chunk. An ingest that begins meanwhile checks its chunks again because the generation changes.
 */
async function removeUnused({ layout, options, layers, known, signal }: FsckContext, path: string, isWanted: boolean): Promise<boolean> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat) return false;
  if (isWanted && isYoung(stat.ctimeMs, options.keepYoungerMs ?? DAY_MS)) return false;
  using sweep = await FileLock.acquire(layout.lock("sweep"), { signal });
  // a layer that was published meanwhile or is damaged may have it
  if (layers.list().some((diffId) => !known.has(diffId))) return false;
  bumpGeneration(sweep);
  unlinkSync(path);
  return true;
}

async function* foreignChunks(context: FsckContext): AsyncGenerator<Finding> {
  const { chunks } = context.layout;
  yield* foreignNames(context, chunks, isShard);
  for (const name of namesIn(chunks).toSorted()) {
    if (isShard(name)) yield* foreignNames(context, join(chunks, name), (file) => parseLinkSource(name, file) !== undefined);
  }
}

/** Returns the existing ordinals by inode name. */
function listChunks(chunks: string): Map<InodeName, number[]> {
  const found = new Map<InodeName, number[]>();
  for (const directory of namesIn(chunks).toSorted()) {
    for (const file of namesIn(join(chunks, directory)).toSorted()) {
      const source = parseLinkSource(directory, file);
      if (!source) continue;
      const ordinals = found.get(source.inode);
      if (ordinals) ordinals.push(source.ordinal);
      else found.set(source.inode, [source.ordinal]);
    }
  }
  return found;
}

/** Ordinal 0 of each native inode must exist. Other ordinals and profiles are checked if they exist. */
function* planJobs(
  context: FsckContext,
  layers: readonly LayerTables[],
  { inventory, used }: { inventory: ReadonlyMap<InodeName, readonly number[]>; used: Set<InodeName> },
): Generator<Job> {
  const deep = context.level !== "quick";
  for (const { diffId, profiles, tables } of layers) {
    for (const [at, profile] of profiles.entries()) {
      const { ids, entries } = tables[at]!;
      const about = {
        diffId,
        sidecar: context.layers.sidecarPath(diffId),
        chunks: context.layout.chunks,
        profile,
        owner: context.superblock.owner,
        deep,
      };
      let wanted: number[] = [];
      for (const [row, entry] of entries.entries()) {
        const name = inodeNameOf(inodeIdAt(ids, row * INODE_ID_BYTES));
        const present = inventory.get(name) ?? [];
        if (used.has(name) || (at > 0 && present.length === 0)) continue;
        used.add(name);
        for (const ordinal of at === 0 && !present.includes(0) ? [0, ...present] : present) wanted.push(entry, ordinal);
        if (wanted.length < SLICE * 2) continue;
        yield { ...about, inodes: Uint32Array.from(wanted) };
        wanted = [];
      }
      if (wanted.length > 0) yield { ...about, inodes: Uint32Array.from(wanted) };
    }
  }
}

/** Reports all faults of one link source. One repair corrects them together. */
async function* reportChunk(
  context: FsckContext,
  { job, uses }: { job: Job; uses: readonly TreeUses[] },
  faults: readonly FoundFault[],
): AsyncGenerator<Finding> {
  const [first] = faults;
  if (!first || !existsSync(context.layout.layer(job.diffId))) return;
  const path = chunkPathByName(context.layout.chunks, first.inode, first.ordinal);
  const affected = affectedBy(context, { inode: first.inode, path, uses });
  let repair: Promise<string | undefined> | undefined;
  for (const { kind, expected, found } of faults) {
    const about = { expected, found, trees: affected.linked.map(({ treeId }) => treeId), images: context.imagesWith(affected.layers) };
    const one = finding(kind, context.relative(path), about);
    if (!context.repairing) yield await context.corrected(one, "made again from a copy, or its layers withdrawn", () => {});
    else {
      const done = await (repair ??= repairLinkSource(context, { job, fault: first, affected, path }));
      yield { ...one, state: done === undefined ? "left" : "corrected", ...(done !== undefined && { repair: done }) };
    }
  }
}

interface Affected {
  /** The layers that have the inode. */
  readonly layers: ReadonlySet<DiffId>;
  /** Trees in which this file itself is linked: they show the damage. */
  readonly linked: readonly KnownTree[];
  /** Files of trees that should have this content, whatever their inode. */
  readonly files: readonly ByteString[];
}

/** The paths of a tree's files (byte strings) by inode. */
interface TreeUses {
  readonly tree: KnownTree;
  readonly paths: Readonly<Record<InodeName, readonly string[]>>;
}

/** Sends one request per tree, however many inodes are damaged. */
async function findUses(context: FsckContext, inodes: readonly InodeName[]): Promise<TreeUses[]> {
  const found: TreeUses[] = [];
  for (const tree of context.trees.values()) {
    if (!context.known.has(tree.diffId)) continue;
    const request: UsesRequest = {
      sidecar: context.layers.sidecarPath(tree.diffId),
      profile: tree.profile,
      owner: context.superblock.owner,
      inodes,
    };
    const paths = await context.unlessRemoved([tree.diffId], () => context.pool.run("fsck/uses", request));
    if (paths) found.push({ tree, paths });
  }
  return found;
}

function affectedBy(context: FsckContext, { inode, path, uses }: { inode: InodeName; path: string; uses: readonly TreeUses[] }): Affected {
  const id = inodeIdOf(inode);
  const source = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  const layers = new Set<DiffId>();
  const linked = new Map<TreeId, KnownTree>();
  const files: ByteString[] = [];
  for (const { diffId, inodes } of context.known.values()) if (hasInode(inodes, id)) layers.add(diffId);
  for (const { tree, paths } of uses) {
    for (const name of paths[inode] ?? []) {
      const file = `${toByteString(context.layout.tree(tree.treeId))}/${name}` as ByteString;
      const stat = lstatSync(fsPath(file), { bigint: true, throwIfNoEntry: false });
      if (stat && source && stat.ino === source.ino && stat.dev === source.dev) linked.set(tree.treeId, tree);
      if (stat?.isFile()) files.push(file);
      layers.add(tree.diffId);
    }
  }
  return { layers, linked: [...linked.values()], files };
}

/** `inodes` holds sorted rows of INODE_ID_BYTES. */
function hasInode(inodes: Buffer, inode: InodeId): boolean {
  let [low, high] = [0, inodes.length / INODE_ID_BYTES];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = middle * INODE_ID_BYTES;
    const order = inodes.compare(inode, 0, INODE_ID_BYTES, at, at + INODE_ID_BYTES);
    if (order === 0) return true;
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}

/** Returns a description of the repair, or undefined if nothing could be done. */
async function repairLinkSource(
  context: FsckContext,
  { job, fault, affected, path }: { job: Job; fault: FoundFault; affected: Affected; path: string },
): Promise<string | undefined> {
  const { sidecar, chunks, owner, profile } = job;
  const request = {
    sidecar,
    chunks,
    owner,
    profile,
    entry: fault.entry,
    ordinal: fault.ordinal,
    staged: context.fresh("chunk"),
    others: affected.files,
  };
  if (await context.pool.run("fsck/repair-chunk", request)) return "made again from a copy";
  context.setAside(path);
  // other ordinals and profiles are made again on demand; the layer itself needs its native inode
  if (fault.ordinal !== 0 || profile !== context.superblock.profile) return "moved to staging";
  // no tree has the content either, so every tree of these layers is damaged
  for (const diffId of affected.layers) {
    const trees = [...context.trees.values()].filter((tree) => tree.diffId === diffId).map(({ treeId }) => treeId);
    await withdrawLayer(context, diffId, trees);
  }
  return "its layers withdrawn; the next pull fetches them";
}
