/**
 * Checks the LevelDB catalog against the sidecars. Takes a snapshot under the lock and reads the snapshot without it. LevelDB's own lock
 * file is neither copied nor opened: closing it anywhere in a process drops the lock of that process (format/store.md, "LevelDB").
 */
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isErrno, isError, messageOf } from "../errors.ts";
import { parseDiffId, type DiffId } from "../image/digest.ts";
import { acquireCatalogLock } from "../store/catalog/catalog-lock.ts";
import { Catalog } from "../store/catalog/catalog.ts";
import { INODE_ROW_BYTES, type CatalogLayer } from "../store/catalog/catalog-session.ts";
import { INODE_ID_BYTES } from "../store/ids.ts";
import { PendingEdges } from "../store/catalog/pending-edges.ts";
import type { FileLock } from "../system/file-lock.ts";
import type { FsckContext } from "./fsck-context.ts";
import { finding, type Finding, type FindingKind } from "./finding.ts";

const PATIENCE_MS = 10_000;
const OBJECT = "db";

export async function* checkCatalog(context: FsckContext): AsyncGenerator<Finding> {
  const faults = await readCatalog(context);
  let repair: Promise<void> | undefined;
  for (const { kind, ...details } of faults) {
    const found = finding(kind, OBJECT, details);
    const isRebuilt = kind !== "catalog-busy" && faults.some((one) => one.kind !== "catalog-stale");
    yield isRebuilt ? await context.corrected(found, "rebuilt from the sidecars", () => (repair ??= rebuild(context))) : found;
  }
}

interface CatalogFault {
  readonly kind: Extract<FindingKind, `catalog-${string}`>;
  readonly expected?: string;
  readonly found?: string;
}

async function readCatalog(context: FsckContext): Promise<CatalogFault[]> {
  const { layout, known } = context;
  if (!existsSync(layout.db) && isSubset(known.keys(), announcedLayers(context))) return [];
  if (!existsSync(layout.dbCurrent)) return [{ kind: "catalog-missing", found: existsSync(layout.db) ? "no CURRENT" : "missing" }];
  const snapshot = makeSnapshotDirectory(context);
  try {
    const announced = await takeSnapshot(context, snapshot);
    if (!announced) return [{ kind: "catalog-busy", found: `locked for more than ${patienceOf(context)} ms` }];
    return await compare(context, { snapshot, announced });
  } catch (error) {
    if (isErrno(error, "LEVEL_DATABASE_NOT_OPEN", "LEVEL_CORRUPTION", "LEVEL_IO_ERROR", "LEVEL_NOT_FOUND", "LEVEL_ITERATOR_NOT_OPEN")) {
      const cause = messageOf(isError(error) && isError(error.cause) ? error.cause : error);
      return [{ kind: "catalog-damaged", found: cause.replaceAll(snapshot, "db").slice(0, 300) }];
    }
    throw error;
  } finally {
    rmSync(snapshot, { recursive: true, force: true });
  }
}

/** Makes it on the store's file system, where hard links work, or in the temporary directory if the store is read-only. */
function makeSnapshotDirectory(context: FsckContext): string {
  try {
    const directory = context.fresh("db");
    mkdirSync(directory, { mode: 0o700 });
    return directory;
  } catch (error) {
    if (!isErrno(error, "EROFS", "EACCES", "EPERM")) throw error;
    return mkdtempSync(join(tmpdir(), "shale-fsck-"));
  }
}

function patienceOf({ options }: FsckContext): number {
  return options.patienceMs ?? PATIENCE_MS;
}

/** Returns the layers that are announced but not in the snapshot; undefined if the lock was not free in time. */
async function takeSnapshot(context: FsckContext, snapshot: string): Promise<ReadonlySet<DiffId> | undefined> {
  const { layout, signal } = context;
  const patience = AbortSignal.timeout(patienceOf(context));
  let lock: FileLock | undefined;
  try {
    lock = await acquireCatalogLock(layout, signal ? AbortSignal.any([signal, patience]) : patience);
  } catch (error) {
    signal?.throwIfAborted();
    if (patience.aborted) return undefined;
    // no process can be writing to a store that is read-only
    if (!isErrno(error, "EROFS", "EACCES", "ENOENT")) throw error;
  }
  try {
    for (const name of readdirSync(layout.db)) if (name !== "LOCK") linkOrCopy(join(layout.db, name), join(snapshot, name));
    return announcedLayers(context);
  } finally {
    lock?.release();
  }
}

/** Links tables, which are never changed. Logs and manifests are appended to, so they are copied. */
function linkOrCopy(from: string, to: string): void {
  if (!/\.(?:ldb|sst)$/.test(from)) return copyFileSync(from, to);
  try {
    linkSync(from, to);
  } catch (error) {
    if (!isErrno(error, "EXDEV", "EPERM", "EMLINK", "EROFS")) throw error;
    copyFileSync(from, to);
  }
}

/** Compares in one pass: the edges are sorted by inode, and so are the inodes of each layer. */
async function compare(
  context: FsckContext,
  { snapshot, announced }: { readonly snapshot: string; readonly announced: ReadonlySet<DiffId> },
): Promise<CatalogFault[]> {
  const { Level } = await import("level");
  const database = new Level<Buffer, Buffer>(snapshot, { keyEncoding: "buffer", valueEncoding: "buffer", createIfMissing: false });
  await database.open();
  try {
    const [id, complete] = await Promise.all([database.get(Buffer.from("m:store")), database.get(Buffer.from("m:complete"))]);
    if (id?.toString() !== context.superblock.id)
      return [{ kind: "catalog-damaged", expected: context.superblock.id, found: id?.toString("latin1", 0, 100) ?? "missing" }];
    if (!complete) return [{ kind: "catalog-damaged", expected: "m:complete", found: "missing" }];
    const added = [...context.known.values()].filter(({ diffId }) => !announced.has(diffId));
    const walks = new Map(added.map(({ diffId, inodes }) => [diffId.slice(7), new LayerWalk(diffId, inodes)]));
    const stale = new Set<string>();
    for await (const key of database.keys({ gte: Buffer.from("e"), lt: Buffer.from("f") })) {
      context.signal?.throwIfAborted();
      const walk = walks.get(key.toString("hex", 1 + INODE_ID_BYTES));
      if (walk) walk.edge(key.subarray(1, 1 + INODE_ID_BYTES));
      else stale.add(key.toString("hex", 1 + INODE_ID_BYTES));
    }
    const layers = new Set<string>();
    for await (const key of database.keys({ gte: Buffer.from("l"), lt: Buffer.from("m") })) layers.add(key.toString("hex", 1));
    for (const layer of layers) if (!walks.has(layer)) stale.add(layer);
    return [...incomplete(context, walks, layers), ...staleFaults(context, stale)];
  } finally {
    await database.close();
  }
}

/** Returns the layers that the next session of the catalog will add. */
function announcedLayers({ layout }: FsckContext): ReadonlySet<DiffId> {
  const files = [...new PendingEdges(layout).files()];
  return new Set(files.flatMap(({ layer }) => layer?.diffId ?? []));
}

function isSubset<T>(some: Iterable<T>, all: ReadonlySet<T>): boolean {
  for (const one of some) if (!all.has(one)) return false;
  return true;
}

/** Compares the inodes of one layer with its edges, which are passed in order. */
class LayerWalk {
  readonly diffId: DiffId;
  readonly #inodes: Buffer;
  #next = 0;
  missing = 0;
  /** Number of edges whose inode is not in the sidecar. */
  surplus = 0;

  constructor(diffId: DiffId, inodes: Buffer) {
    this.diffId = diffId;
    this.#inodes = inodes;
  }

  edge(inode: Buffer): void {
    for (; this.#next < this.#inodes.length; this.#next += INODE_ID_BYTES) {
      const order = this.#inodes.compare(inode, 0, INODE_ID_BYTES, this.#next, this.#next + INODE_ID_BYTES);
      if (order > 0) break;
      if (order < 0) this.missing++;
      else {
        this.#next += INODE_ID_BYTES;
        return;
      }
    }
    this.surplus++;
  }

  end(): number {
    this.missing += (this.#inodes.length - this.#next) / INODE_ID_BYTES;
    this.#next = this.#inodes.length;
    return this.missing;
  }
}

/** Skips layers that were removed since they were checked: their edges are gone too. */
function incomplete({ layout }: FsckContext, walks: ReadonlyMap<string, LayerWalk>, layers: ReadonlySet<string>): CatalogFault[] {
  const faults: CatalogFault[] = [];
  for (const [hex, walk] of walks) {
    const missing = walk.end();
    if ((missing === 0 && layers.has(hex)) || !existsSync(layout.layer(walk.diffId))) continue;
    const found = missing > 0 ? `${missing} edges are missing` : "no record of the layer";
    faults.push({ kind: "catalog-incomplete", expected: `every inode of ${walk.diffId}`, found });
  }
  return faults;
}

/** Reports layers that the catalog has and the store lacks. A layer that was published meanwhile exists by now. */
function staleFaults({ layout }: FsckContext, stale: ReadonlySet<string>): CatalogFault[] {
  const gone = [...stale].filter((hex) => hex.length === 64 && !existsSync(layout.layer(parseDiffId(`sha256:${hex}`))));
  return gone.map((hex) => ({ kind: "catalog-stale", expected: `the layer sha256:${hex}`, found: "missing" }));
}

async function rebuild(context: FsckContext): Promise<void> {
  const { layout, superblock, signal } = context;
  {
    using lock = await acquireCatalogLock(layout, signal);
    void lock;
    if (existsSync(layout.db)) renameSync(layout.db, context.fresh("db-replaced"));
  }
  const layers = (): AsyncIterable<CatalogLayer> => catalogLayers(context);
  const catalog = new Catalog({ layout, storeId: superblock.id, layers, warn: () => {} });
  await catalog.session(() => Promise.resolve(), signal);
  await catalog.idle();
}

async function* catalogLayers(context: FsckContext): AsyncGenerator<CatalogLayer> {
  const { layers, pool, superblock } = context;
  for (const diffId of layers.list()) {
    const { profile: native, owner } = superblock;
    const request = { sidecar: layers.sidecarPath(diffId), native, owner };
    const inodes = await context.unlessRemoved([diffId], () => pool.run("tree/inodes", request));
    if (inodes && inodes.length % INODE_ROW_BYTES === 0) yield { diffId, inodes };
  }
}
