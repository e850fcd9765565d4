/**
 * The LevelDB index of chunks: which layers use an inode, and its size. It may list too many users of an inode, never too few, and it can be
 * rebuilt from the sidecars. LevelDB's own lock is not reliable (a second open in one process drops it), so the database is opened only
 * under locks/db, by one session of this process at a time, and is closed soon after the session. See format/store.md, "LevelDB".
 */
import { messageOf } from "../../errors.ts";
import { existsSync, renameSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Level } from "level";
import type { Warn } from "../../errors.ts";
import { errnoOf } from "../../system/errno.ts";
import { FileLock } from "../../system/file-lock.ts";
import { acquireCatalogLock, isCatalogWanted } from "./catalog-lock.ts";
import { CatalogSession, type CatalogLayer } from "./catalog-session.ts";
import type { StoreLayout } from "../layout.ts";
import { PendingEdges } from "./pending-edges.ts";

type Database = Level<Buffer, Buffer>;

export interface CatalogOptions {
  readonly layout: StoreLayout;
  readonly storeId: string;
  /** Reads every layer of the store from the sidecars, for a rebuild. */
  readonly layers: () => AsyncIterable<CatalogLayer>;
  readonly warn: Warn;
}

interface OpenDatabase {
  readonly lock: FileLock;
  readonly database: Database;
}

/** Pause in ms after yielding: longer than the time between two attempts of a waiter. */
const LONGEST_PAUSE_MS = 55;
const LINGER_MS = 30;
const POLL_MS = 10;

/** Numbers of files in level 0, where LevelDB reads each file for each key. It starts to merge them at four. */
const MERGED_FILES = 4;
const TOO_MANY_FILES = 12;

const STORE_ID: Buffer = Buffer.from("m:store");
const COMPLETE: Buffer = Buffer.from("m:complete");
/** Errors of an intact index. */
const SHORTAGES: readonly string[] = ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EACCES", "EPERM", "EROFS"];

export class Catalog {
  /** The edges of layers that no session has entered yet. */
  readonly pending: PendingEdges;
  readonly #options: CatalogOptions;
  #tail: Promise<unknown> = Promise.resolve();
  #open: OpenDatabase | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: CatalogOptions) {
    this.#options = options;
    this.pending = new PendingEdges(options.layout);
  }

  /**
   * Records in edges/ which inodes a layer uses, without waiting for a lock. Every session enters these files first. Call it before the layer is
   * published, holding `sweep`, and call `tidy` afterwards. `staged`: an unused path in staging.
   */
  announce(layer: CatalogLayer, staged: string): void {
    this.pending.add(layer, staged);
  }

  /** Enters the announced layers, unless another process has the database open or waits for it: its session then enters them. */
  tidy(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.pending.isEmpty) return;
      // otherwise a process that pulls repeatedly would keep all others waiting
      if (isCatalogWanted(this.#options.layout)) return this.#close();
      if (this.#open === undefined) {
        const lock = FileLock.try(this.#options.layout.lock("db"));
        if (lock === undefined) return;
        this.#open = await this.#openUnder(lock);
      }
      await this.#use(this.#open, () => Promise.resolve());
    });
  }

  /** Enters which inodes a layer uses. Idempotent. */
  addLayer(layer: CatalogLayer, signal?: AbortSignal): Promise<void> {
    return this.session((session) => session.addLayer(layer), signal);
  }

  /** Runs `work` with the database open. Only one session runs at a time in all processes, so keep it below about 20 ms. */
  session<T>(work: (session: CatalogSession) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#inTurn(() => this.#exclusive(work, signal));
  }

  /** Resolves when no session is running and the database is closed. The next session opens it again. */
  idle(): Promise<void> {
    return this.#inTurn(() => this.#close());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(work);
    this.#tail = run.catch(() => undefined);
    return run;
  }

  async #exclusive<T>(work: (session: CatalogSession) => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    // otherwise a process with many sessions would keep all others waiting
    if (this.#open && isCatalogWanted(this.#options.layout)) {
      await this.#close();
      await sleep(LONGEST_PAUSE_MS);
      signal?.throwIfAborted();
    }
    this.#open ??= await this.#openUnder(await acquireCatalogLock(this.#options.layout, signal));
    return this.#use(this.#open, work);
  }

  async #use<T>({ database }: OpenDatabase, work: (session: CatalogSession) => Promise<T>): Promise<T> {
    clearTimeout(this.#timer);
    try {
      const session = new CatalogSession(database);
      await this.#enterPending(session);
      return await work(session);
    } catch (error) {
      await this.#close();
      throw error;
    } finally {
      this.#linger(performance.now());
    }
  }

  /**
   * Keeps the database open for a short time. Opening costs more than most sessions, and each open creates a file that LevelDB must merge
   * with the others, which it does only while the database is open.
   */
  #linger(since: number): void {
    if (!this.#open) return;
    this.#timer = setTimeout(() => {
      const idle = performance.now() - since;
      const files = filesToMerge(this.#open?.database);
      const isTime = isCatalogWanted(this.#options.layout)
        ? files < TOO_MANY_FILES || idle > patience(files)
        : idle > LINGER_MS && (files < MERGED_FILES || idle > patience(files));
      if (isTime) this.idle().catch((error: unknown) => this.#options.warn("ERROR", `the chunk index did not close: ${messageOf(error)}`));
      else this.#linger(since);
    }, POLL_MS).unref();
  }

  /** With too many files to merge, those who wait do so until it is done: it would else never be. */
  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    const open = this.#open;
    this.#open = undefined;
    if (!open) return;
    try {
      const start = performance.now();
      const most = patience(filesToMerge(open.database));
      while (filesToMerge(open.database) >= TOO_MANY_FILES && performance.now() - start < most) await sleep(POLL_MS);
    } finally {
      await open.database.close().finally(() => open.lock.release());
    }
  }

  async #enterPending(session: CatalogSession): Promise<void> {
    for (const file of this.pending.files()) {
      if (file.layer) await session.addLayer(file.layer);
      this.pending.remove(file);
    }
  }

  async #openUnder(lock: FileLock): Promise<OpenDatabase> {
    try {
      return { lock, database: (await this.#openValid()) ?? (await this.#rebuild()) };
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Returns the database if it opens, belongs to this store and is complete; otherwise undefined, and it is closed. */
  async #openValid(): Promise<Database | undefined> {
    const { layout, storeId, warn } = this.#options;
    if (!existsSync(layout.dbCurrent)) return undefined;
    try {
      const database = await open(layout.db, false);
      const [id, complete] = await Promise.all([database.get(STORE_ID), database.get(COMPLETE)]).catch(async (error: unknown) => {
        await database.close();
        throw error;
      });
      if (id?.toString() === storeId && complete) return database;
      await database.close();
    } catch (error) {
      // the index may be intact, and a rebuild would fail for the same reason
      if (SHORTAGES.includes(errnoOf(error) ?? "")) throw error;
      warn(
        "STORE_DAMAGED",
        `the chunk index of ${JSON.stringify(layout.root)} does not open (${messageOf(error).slice(0, 200)}); it is rebuilt`,
      );
    }
    return undefined;
  }

  async #rebuild(): Promise<Database> {
    const { layout, storeId, layers } = this.#options;
    // one fixed name, since only the holder of the lock uses it; this also deletes what a dead process left
    const old = layout.replacedDb;
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
      // an open database would outlive our lock
      await database.close();
      throw error;
    }
    return database;
  }
}

/** Returns how many ms to wait for a merge. An interrupted merge starts again the next time. */
function patience(files: number): number {
  return Math.max(3000, files * 100);
}

function filesToMerge(database: Database | undefined): number {
  if (database?.status !== "open") return 0;
  return Number((database as unknown as { getProperty(name: string): string }).getProperty("leveldb.num-files-at-level0"));
}

/** Loads `level` on first use, because most pulls do not open the catalog. */
async function open(path: string, createIfMissing: boolean): Promise<Database> {
  const { Level } = await import("level");
  const database: Database = new Level(path, { keyEncoding: "buffer", valueEncoding: "buffer", createIfMissing, compression: false });
  await database.open();
  return database;
}
