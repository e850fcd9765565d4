/**
 * The LevelDB index of chunks: which layers use an inode, and what it weighs. It is not the truth: it may over-count, never
 * under-count, and it can be lost, for it is rebuilt from the sidecars. LevelDB's own lock does not hold (a second open in one
 * process drops the first one's), so it is opened only under our lock, by one session of this process at a time, and closed
 * when the session ends. Keys and values: format/store.md, "Catalog".
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Level } from "level";
import { parseDiffId, type DiffId } from "../image/digest.ts";
import { FileLock } from "../system/file-lock.ts";
import { INODE_ID_BYTES } from "./inode.ts";
import type { StoreLayout } from "./layout.ts";

type Database = Level<Buffer, Buffer>;

/** One row an inode: its id (20 bytes), then its size in bytes (u48, little-endian). */
export const INODE_ROW_BYTES: number = INODE_ID_BYTES + 6;

export interface CatalogLayer {
  readonly diffId: DiffId;
  /** Rows of INODE_ROW_BYTES. */
  readonly inodes: Uint8Array;
}

export interface CatalogOptions {
  readonly layout: StoreLayout;
  readonly storeId: string;
  /** Every layer of the store, from the sidecars: what a rebuild writes. */
  readonly layers: () => AsyncIterable<CatalogLayer>;
  readonly warn: (code: string, message: string) => void;
}

const STORE_ID: Buffer = Buffer.from("m:store");
const COMPLETE: Buffer = Buffer.from("m:complete");
/** Keys written between two turns of the event loop. */
const BATCH = 4000;

export class Catalog {
  readonly #options: CatalogOptions;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  /** Records which inodes a layer uses. Idempotent; call before the layer is published. */
  addLayer(layer: CatalogLayer, signal?: AbortSignal): Promise<void> {
    return this.session((session) => session.addLayer(layer), signal);
  }

  /** Runs `work` with the database open; sessions of all processes follow one another. */
  session<T>(work: (session: CatalogSession) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const run = this.#tail.then(() => this.#exclusive(work, signal));
    this.#tail = run.catch(() => undefined);
    return run;
  }

  /** Between two sessions of one long piece of work: lets those go first who wait. */
  async giveWay(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await FileLock.pause(signal);
  }

  /** Resolves when no session is under way. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  async #exclusive<T>(work: (session: CatalogSession) => Promise<T>, signal?: AbortSignal): Promise<T> {
    using lock = await FileLock.acquire(this.#options.layout.lock("db"), { signal });
    void lock;
    const database = (await this.#openValid()) ?? (await this.#rebuild());
    try {
      return await work(new CatalogSession(database));
    } finally {
      await database.close();
    }
  }

  /** The database if it is there, opens, is this store's and was completed; else undefined, closed. */
  async #openValid(): Promise<Database | undefined> {
    const { layout, storeId, warn } = this.#options;
    if (!existsSync(join(layout.db, "CURRENT"))) return undefined;
    try {
      const database = await open(layout.db, false);
      const [id, complete] = await Promise.all([database.get(STORE_ID), database.get(COMPLETE)]).catch(async (error: unknown) => {
        await database.close();
        throw error;
      });
      if (id?.toString() === storeId && complete) return database;
      await database.close();
    } catch (error) {
      warn(
        "STORE_DAMAGED",
        `the chunk index of ${JSON.stringify(layout.root)} does not open (${String(error).slice(0, 200)}); it is rebuilt`,
      );
    }
    return undefined;
  }

  async #rebuild(): Promise<Database> {
    const { layout, storeId, layers } = this.#options;
    // one name for all, since only the holder of the lock is here: what one that died left is removed too
    const old = `${layout.staging}/db-replaced`;
    rmSync(old, { recursive: true, force: true });
    if (existsSync(layout.db)) renameSync(layout.db, old);
    rmSync(old, { recursive: true, force: true });
    const database = await open(layout.db, true);
    try {
      const session = new CatalogSession(database);
      for await (const layer of layers()) await session.addLayer(layer);
      await database.put(STORE_ID, Buffer.from(storeId));
      await database.put(COMPLETE, Buffer.from("1"), { sync: true });
    } catch (error) {
      // left open it would outlive our lock
      await database.close();
      throw error;
    }
    return database;
  }
}

export class CatalogSession {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async addLayer({ diffId, inodes }: CatalogLayer): Promise<void> {
    const layer = Buffer.from(diffId.slice(7), "hex");
    for (let start = 0; start < inodes.length; start += BATCH * INODE_ROW_BYTES) {
      const rows = inodes.subarray(start, start + BATCH * INODE_ROW_BYTES);
      const batch = this.#database.batch();
      for (let row = 0; row < rows.length; row += INODE_ROW_BYTES) {
        const id = rows.subarray(row, row + INODE_ID_BYTES);
        batch.put(edgeKey(id, layer), Buffer.from(rows.subarray(row + INODE_ID_BYTES, row + INODE_ROW_BYTES)));
      }
      await batch.write();
    }
    await this.#database.put(layerKey(layer), Buffer.from(JSON.stringify({ inodes: inodes.length / INODE_ROW_BYTES })));
  }

  /** The layers that use an inode. */
  async layersOf(inodeId: Uint8Array): Promise<DiffId[]> {
    const found: DiffId[] = [];
    const range = { gte: edgeKey(inodeId, Buffer.alloc(32)), lte: edgeKey(inodeId, Buffer.alloc(32, 0xff)) };
    for await (const key of this.#database.keys(range)) found.push(diffIdOf(key.subarray(1 + INODE_ID_BYTES)));
    return found;
  }

  /** Drops a layer's edges to these inodes (rows of INODE_ROW_BYTES). `dead` are the ids of those that nobody else uses. */
  async forgetEdges(diffId: DiffId, rows: Uint8Array, dead: readonly Uint8Array[]): Promise<void> {
    void dead;
    const layer = Buffer.from(diffId.slice(7), "hex");
    const batch = this.#database.batch();
    for (let row = 0; row < rows.length; row += INODE_ROW_BYTES) batch.del(edgeKey(rows.subarray(row, row + INODE_ID_BYTES), layer));
    await batch.write();
  }

  /** Drops what says that a layer is there; its edges are dropped before. */
  async forgetLayer(diffId: DiffId): Promise<void> {
    await this.#database.del(layerKey(Buffer.from(diffId.slice(7), "hex")));
  }

  /** Every inode with its size in bytes and the layers that use it, in order of the ids. */
  async *inodes(): AsyncGenerator<{ readonly size: number; readonly layers: readonly DiffId[] }> {
    let current: Buffer | undefined;
    let size = 0;
    let layers: DiffId[] = [];
    for await (const [key, value] of this.#database.iterator({ gte: Buffer.from("e"), lt: Buffer.from("f") })) {
      const id = key.subarray(1, 1 + INODE_ID_BYTES);
      if (current && !current.equals(id)) {
        yield { size, layers };
        layers = [];
      }
      current = id;
      size = value.readUIntLE(0, 6);
      layers.push(diffIdOf(key.subarray(1 + INODE_ID_BYTES)));
    }
    if (current) yield { size, layers };
  }

  /** Every layer that the catalog knows. */
  async layers(): Promise<DiffId[]> {
    const found: DiffId[] = [];
    for await (const key of this.#database.keys({ gte: Buffer.from("l"), lt: Buffer.from("m") })) found.push(diffIdOf(key.subarray(1)));
    return found;
  }
}

function edgeKey(inodeId: Uint8Array, layer: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("e"), inodeId, layer]);
}

function layerKey(layer: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("l"), layer]);
}

function diffIdOf(bytes: Uint8Array): DiffId {
  return parseDiffId(`sha256:${Buffer.from(bytes).toString("hex")}`);
}

/** `level` is loaded here, so that what never opens the catalog never pays for it. */
async function open(path: string, createIfMissing: boolean): Promise<Database> {
  const { Level } = await import("level");
  const database: Database = new Level(path, { keyEncoding: "buffer", valueEncoding: "buffer", createIfMissing, compression: false });
  await database.open();
  return database;
}
