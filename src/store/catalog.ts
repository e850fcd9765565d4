/**
 * The LevelDB index of chunks: which layers use an inode, and what it weighs. It is not the truth: it may over-count, never
 * under-count, and it can be lost, for it is rebuilt from the sidecars. LevelDB's own lock does not hold (a second open in one
 * process drops the first one's), so it is opened only under our lock, by one session of this process at a time, and closed
 * when the session ends. Keys and values: format/store.md, "Catalog".
 */
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Level } from "level";
import { errnoOf } from "../system/errno.ts";
import { FileLock } from "../system/file-lock.ts";
import { CatalogSession, type CatalogLayer } from "./catalog-session.ts";
import type { StoreLayout } from "./layout.ts";

type Database = Level<Buffer, Buffer>;

export interface CatalogOptions {
  readonly layout: StoreLayout;
  readonly storeId: string;
  /** Every layer of the store, from the sidecars: what a rebuild writes. */
  readonly layers: () => AsyncIterable<CatalogLayer>;
  readonly warn: (code: string, message: string) => void;
}

const STORE_ID: Buffer = Buffer.from("m:store");
const COMPLETE: Buffer = Buffer.from("m:complete");
/** Why the index may fail to open though it is right. */
const SHORTAGES: readonly string[] = ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EACCES", "EPERM", "EROFS"];

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

  /** Between two sessions of one long piece of work: lets those of other processes go first who wait. */
  async giveWay(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const idle = FileLock.try(this.#options.layout.lock("db-waiting"));
    if (idle) return idle.release();
    // longer than any waiter's next try is away
    await sleep(55, undefined, { signal });
  }

  /** Resolves when no session is under way. */
  async idle(): Promise<void> {
    await this.#tail;
  }

  async #exclusive<T>(work: (session: CatalogSession) => Promise<T>, signal?: AbortSignal): Promise<T> {
    using lock = await this.#acquire(signal);
    void lock;
    const database = (await this.#openValid()) ?? (await this.#rebuild());
    try {
      return await work(new CatalogSession(database));
    } finally {
      await database.close();
    }
  }

  /** Who has to wait says so by another lock. */
  async #acquire(signal?: AbortSignal): Promise<FileLock> {
    const { layout } = this.#options;
    signal?.throwIfAborted();
    const free = FileLock.try(layout.lock("db"));
    if (free) return free;
    const waiting = FileLock.try(layout.lock("db-waiting"), "shared");
    try {
      return await FileLock.acquire(layout.lock("db"), { signal });
    } finally {
      waiting?.release();
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
      // nothing says that the index is wrong, and it could not be made anew either
      if (SHORTAGES.includes(errnoOf(error) ?? "")) throw error;
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

/** `level` is loaded here, so that what never opens the catalog never pays for it. */
async function open(path: string, createIfMissing: boolean): Promise<Database> {
  const { Level } = await import("level");
  const database: Database = new Level(path, { keyEncoding: "buffer", valueEncoding: "buffer", createIfMissing, compression: false });
  await database.open();
  return database;
}
