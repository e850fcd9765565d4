/**
 * The LevelDB index of chunks: which layers use an inode, and what it weighs. It is not the truth: it may over-count, never
 * under-count, and it can be lost, for it is rebuilt from the sidecars. LevelDB's own lock does not hold (a second open in one
 * process drops the first one's), so it is opened only under our lock, by one session of this process at a time, and closed
 * when the session ends. Keys and values: format/store.md, "Catalog".
 */
import { messageOf } from "../../errors.ts";
import { existsSync, renameSync, rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Level } from "level";
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
  /** Every layer of the store, from the sidecars: what a rebuild writes. */
  readonly layers: () => AsyncIterable<CatalogLayer>;
  readonly warn: (code: string, message: string) => void;
}

interface OpenDatabase {
  readonly lock: FileLock;
  readonly database: Database;
}

/** Longer than any waiter's next try is away. */
const LONGEST_PAUSE_MS = 55;
const LINGER_MS = 30;
const POLL_MS = 10;

/** Files of level 0: each is looked into for each key. LevelDB begins to merge them at four. */
const MERGED_FILES = 4;
const TOO_MANY_FILES = 12;

const STORE_ID: Buffer = Buffer.from("m:store");
const COMPLETE: Buffer = Buffer.from("m:complete");
/** Why the index may fail to open though it is right. */
const SHORTAGES: readonly string[] = ["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "EACCES", "EPERM", "EROFS"];

export class Catalog {
  /** Of layers that no session has seen yet. */
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
   * Says which inodes a layer uses, without waiting for anybody: every session knows it from its start. Call it before the layer is
   * published, holding `sweep`; then `tidy`. `staged`: a path in staging that nothing has.
   */
  announce(layer: CatalogLayer, staged: string): void {
    this.pending.add(layer, staged);
  }

  /** Enters what was announced, unless another has the database open, or waits for it: then that one, or the next, will. */
  tidy(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.pending.isEmpty) return;
      // whoever pulls again and again would else keep all others out
      if (isCatalogWanted(this.#options.layout)) return this.#close();
      if (this.#open === undefined) {
        const lock = FileLock.try(this.#options.layout.lock("db"));
        if (lock === undefined) return;
        this.#open = await this.#openUnder(lock);
      }
      await this.#use(this.#open, () => Promise.resolve());
    });
  }

  /** Records which inodes a layer uses. Idempotent. */
  addLayer(layer: CatalogLayer, signal?: AbortSignal): Promise<void> {
    return this.session((session) => session.addLayer(layer), signal);
  }

  /** Runs `work` with the database open; sessions of all processes follow one another. Keep it to some 20 ms: others wait for it. */
  session<T>(work: (session: CatalogSession) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#inTurn(() => this.#exclusive(work, signal));
  }

  /** Resolves when no session is under way and the database is closed. The next session opens it again. */
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
    // whoever comes again and again would else keep all others out
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
   * The database stays open for a moment: opening costs more than most sessions, and each leaves a file that has to be merged with the
   * others, which LevelDB does only while it is open.
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

  /** The database if it is there, opens, is this store's and was completed; else undefined, closed. */
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
      // nothing says that the index is wrong, and it could not be made anew either
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
    // one name for all, since only the holder of the lock is here: what one that died left is removed too
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
      // left open it would outlive our lock
      await database.close();
      throw error;
    }
    return database;
  }
}

/** Milliseconds for which a merge is waited for: it is done as a whole, or begins anew the next time. */
function patience(files: number): number {
  return Math.max(3000, files * 100);
}

function filesToMerge(database: Database | undefined): number {
  if (database?.status !== "open") return 0;
  return Number((database as unknown as { getProperty(name: string): string }).getProperty("leveldb.num-files-at-level0"));
}

/** `level` is loaded here, so that what never opens the catalog never pays for it. */
async function open(path: string, createIfMissing: boolean): Promise<Database> {
  const { Level } = await import("level");
  const database: Database = new Level(path, { keyEncoding: "buffer", valueEncoding: "buffer", createIfMissing, compression: false });
  await database.open();
  return database;
}
