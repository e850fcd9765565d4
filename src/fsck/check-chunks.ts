/** Every link source against what the sidecars say of it, each inode once however many layers have it. */
import { existsSync, lstatSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { fsPath, toByteString, type ByteString } from "../bytes.ts";
import type { DiffId } from "../image/digest.ts";
import { base32, INODE_ID_BYTES } from "../store/inode.ts";
import { bumpGeneration } from "../store/generation.ts";
import { chunkPath } from "../store/layout.ts";
import { FileLock } from "../system/file-lock.ts";
import { dropLayer, type LayerTables } from "./check-layers.ts";
import { foreignNames, namesIn } from "./check-directories.ts";
import { inParallel, type FsckContext, type KnownTree } from "./fsck-context.ts";
import { finding, type Finding } from "./finding.ts";
import type { ChunksRequest, FoundFault, UsesRequest } from "./fsck-tasks.ts";

/** Inodes that one request to a worker checks. */
const SLICE = 1000;

interface Job extends ChunksRequest {
  readonly diffId: DiffId;
}

export async function* checkChunks(context: FsckContext, layers: readonly LayerTables[]): AsyncGenerator<Finding> {
  const { layout, pool, signal } = context;
  yield* foreignChunks(context);
  const inventory = listChunks(layout.chunks);
  const used = new Set<string>();
  const jobs = [...planJobs(context, layers, { inventory, used })];
  let done = 0;
  const results = inParallel(jobs, { limit: pool.size * 2, signal }, async (job) => ({
    job,
    faults: (await context.whileThere([job.diffId], () => pool.run<FoundFault[]>("fsck/chunks", job))) ?? [],
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
    .flatMap(([name, ordinals]) => ordinals.map((ordinal) => pathOf(layout.chunks, name, ordinal)));
  for (const path of unused)
    yield await context.corrected(finding("chunk-unused", context.relative(path)), "removed", () => removeUnused(context, path));
}

function pathOf(chunks: string, name: string, ordinal: number): string {
  return `${chunks}/${name.slice(0, 2)}/${name.slice(2)}${ordinal === 0 ? "" : `.${ordinal}`}`;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Only what an ingest of now cannot have written; one that relies on it looks again, since the generation changes. */
async function removeUnused({ layout, options, layers, known, signal }: FsckContext, path: string): Promise<boolean> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat || Date.now() - stat.ctimeMs < (options.keepYoungerMs ?? DAY_MS)) return false;
  using sweep = await FileLock.acquire(layout.lock("sweep"), { signal });
  // a layer that was published meanwhile, or cannot be read, may have it
  if (layers.list().some((diffId) => !known.has(diffId))) return false;
  bumpGeneration(sweep);
  unlinkSync(path);
  return true;
}

async function* foreignChunks(context: FsckContext): AsyncGenerator<Finding> {
  const { chunks } = context.layout;
  yield* foreignNames(context, chunks, (name) => /^[a-z2-7]{2}$/.test(name));
  for (const name of namesIn(chunks)) {
    if (/^[a-z2-7]{2}$/.test(name)) yield* foreignNames(context, join(chunks, name), (file) => CHUNK_NAME.test(file));
  }
}

const CHUNK_NAME: RegExp = /^([a-z2-7]{30})(?:\.([1-9][0-9]{0,14}))?$/;

/** Ordinals by inode name. */
function listChunks(chunks: string): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const directory of namesIn(chunks)) {
    for (const file of namesIn(join(chunks, directory))) {
      const match = CHUNK_NAME.exec(file);
      if (!match) continue;
      const name = directory + match[1]!;
      const ordinals = found.get(name);
      if (ordinals) ordinals.push(Number(match[2] ?? 0));
      else found.set(name, [Number(match[2] ?? 0)]);
    }
  }
  return found;
}

/** Ordinal 0 of each native inode must be there; other ordinals and profiles are checked where they are. */
function* planJobs(
  context: FsckContext,
  layers: readonly LayerTables[],
  { inventory, used }: { inventory: ReadonlyMap<string, readonly number[]>; used: Set<string> },
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
        const name = base32(ids.subarray(row * INODE_ID_BYTES, (row + 1) * INODE_ID_BYTES));
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

/** All faults of one link source; they are put right together. */
async function* reportChunk(
  context: FsckContext,
  { job, uses }: { job: Job; uses: readonly TreeUses[] },
  faults: readonly FoundFault[],
): AsyncGenerator<Finding> {
  const [first] = faults;
  if (!first || !existsSync(context.layout.layer(job.diffId))) return;
  const inode = Buffer.from(first.inode, "hex");
  const path = chunkPath(context.layout.chunks, inode, first.ordinal);
  const affected = affectedBy(context, { inode, path, uses });
  let repair: Promise<string | undefined> | undefined;
  for (const { kind, expected, found } of faults) {
    const about = { expected, found, trees: affected.linked.map(({ treeId }) => treeId), images: context.imagesWith(affected.layers) };
    const one = finding(kind, context.relative(path), about);
    if (!context.repairing) yield await context.corrected(one, "made again from a copy, or its layers removed", () => {});
    else {
      const done = await (repair ??= mend(context, { job, fault: first, affected, path }));
      yield { ...one, state: done === undefined ? "left" : "corrected", ...(done !== undefined && { repair: done }) };
    }
  }
}

interface Affected {
  /** Layers that have the inode. */
  readonly layers: ReadonlySet<DiffId>;
  /** Trees in which a name is this very file: they show what is wrong with it. */
  readonly linked: readonly KnownTree[];
  /** Files of trees that should have this content, whichever inode they are. */
  readonly files: readonly ByteString[];
}

/** The names that a tree's files with some inodes have: byte strings by inode id in hex. */
interface TreeUses {
  readonly tree: KnownTree;
  readonly names: Readonly<Record<string, readonly string[]>>;
}

/** One request a tree, however many inodes are at fault. */
async function findUses(context: FsckContext, inodes: readonly string[]): Promise<TreeUses[]> {
  const found: TreeUses[] = [];
  for (const tree of context.trees.values()) {
    if (!context.known.has(tree.diffId)) continue;
    const request: UsesRequest = {
      sidecar: context.layers.sidecarPath(tree.diffId),
      profile: tree.profile,
      owner: context.superblock.owner,
      inodes,
    };
    const names = await context.whileThere([tree.diffId], () => context.pool.run<TreeUses["names"]>("fsck/uses", request));
    if (names) found.push({ tree, names });
  }
  return found;
}

function affectedBy(context: FsckContext, { inode, path, uses }: { inode: Buffer; path: string; uses: readonly TreeUses[] }): Affected {
  const source = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  const layers = new Set<DiffId>();
  const linked = new Map<string, KnownTree>();
  const files: ByteString[] = [];
  for (const { diffId, inodes } of context.known.values()) if (hasInode(inodes, inode)) layers.add(diffId);
  for (const { tree, names } of uses) {
    for (const name of names[inode.toString("hex")] ?? []) {
      const place = `${toByteString(context.layout.tree(tree.treeId))}/${name}` as ByteString;
      const stat = lstatSync(fsPath(place), { bigint: true, throwIfNoEntry: false });
      if (stat && source && stat.ino === source.ino && stat.dev === source.dev) linked.set(tree.treeId, tree);
      if (stat?.isFile()) files.push(place);
      layers.add(tree.diffId);
    }
  }
  return { layers, linked: [...linked.values()], files };
}

/** `inodes` are rows of INODE_ID_BYTES, sorted. */
function hasInode(inodes: Buffer, inode: Buffer): boolean {
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

/** What was done; undefined when nothing could be. */
async function mend(
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
  if (await context.pool.run<boolean>("fsck/mend", request)) return "made again from a copy";
  context.setAside(path);
  // another ordinal or profile is made when a tree needs it; the layer itself needs its native inode
  if (fault.ordinal !== 0 || profile !== context.superblock.profile) return "moved to staging";
  // no tree had the content either: whatever shows these layers is wrong
  for (const diffId of affected.layers) {
    const trees = [...context.trees.values()].filter((tree) => tree.diffId === diffId).map(({ treeId }) => treeId);
    await dropLayer(context, diffId, trees);
  }
  return "its layers removed; the next pull fetches them";
}
