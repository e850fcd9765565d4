/** One open store, with what pulls share: locks, staging, workers, the ingest, and the layers under way. */
import { existsSync, mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ShaleError } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import type { GcResult } from "../gc/result.ts";
import { Ingest } from "../ingest/ingest.ts";
import { bootStart } from "../store/boot-start.ts";
import { sweepDownloads } from "../store/downloads.ts";
import { Catalog } from "../store/catalog.ts";
import { type CatalogLayer } from "../store/catalog-session.ts";
import { Images, type Warn } from "../store/images.ts";
import { initializeStore } from "../store/initialize.ts";
import { Layers } from "../store/layers.ts";
import { Leases } from "../store/leases.ts";
import { StoreLayout } from "../store/layout.ts";
import { Proofs } from "../store/proofs.ts";
import { Pins } from "../store/pins.ts";
import { refusePlanted } from "../store/planted.ts";
import type { Profile } from "../store/profile.ts";
import { Staging } from "../store/staging.ts";
import { inStore } from "../store/store-error.ts";
import { readSuperblock, type Superblock } from "../store/superblock.ts";
import { Activity } from "./activity.ts";
import { BudgetKeeper } from "./budget-keeper.ts";
import { WorkerPool } from "../system/worker-pool.ts";

export interface StoreOptions {
  /** Native profile of a store that is made now; default: what this user and file system can do. An existing store keeps its own. */
  readonly profile?: Profile | undefined;
  /** Worker threads; default 2, or 1 on a machine with one core. More gained nothing where it was measured. */
  readonly workers?: number | undefined;
  /** Give no image a layer or config that its repository has not given once itself, and been fetched for that: see SECURITY.md. Default false. */
  readonly requireProof?: boolean | undefined;
  /**
   * Bytes that files' contents and kept blobs may take: after each pull that brought something, images that only references keep
   * are removed, the least recently used first, until the rest fits. Default: no bound.
   */
  readonly maxBytes?: number | undefined;
  /** With `maxBytes`: milliseconds for which an image that was used stays in any case; default 5 minutes. */
  readonly keepYounger?: number | undefined;
  /** With `maxBytes`: told what was removed to make room. What it throws is dropped, with a warning. */
  readonly onEvicted?: ((result: GcResult) => void) | undefined;
  /**
   * Bytes of the file system that a pull must leave free, by an estimate (docs/store.md), or it fails with LOW_DISK before any layer is
   * fetched. Default: a pull fails so only if its blobs alone do not fit; -Infinity: never.
   */
  readonly minFreeBytes?: number | undefined;
  /** Told of what was found wrong and put right, or works around. */
  readonly onWarning?: Warn | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Two keep both workers inflating; the third hides the next one's latency. Fewer than there are slabs: each holds one. */
const LAYERS_IN_FLIGHT = 3;

/** Of p-queue, whose own declarations need the DOM's: what stands here, its users' programs are compiled against. */
interface Downloads {
  add<T>(work: () => Promise<T>, options?: { readonly signal?: AbortSignal }): Promise<T>;
}

export class StoreCore {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly bootId: string;
  readonly images: Images;
  readonly leases: Leases;
  readonly pins: Pins;
  readonly layers: Layers;
  readonly proofs: Proofs;
  readonly requireProof: boolean;
  readonly catalog: Catalog;
  readonly warn: Warn;
  readonly activity: Activity;
  readonly maxBytes: number | undefined;
  readonly minFreeBytes: number | undefined;
  readonly #budget: BudgetKeeper | undefined;
  /** Layers being ingested by this handle. */
  readonly inFlight: Map<DiffId, Promise<unknown>> = new Map();
  readonly #workers: number;
  readonly #running = new Set<Promise<unknown>>();
  readonly #abort = new AbortController();
  #durabilitySettled = false;
  #downloads: Promise<Downloads> | undefined;
  #staging: Staging | undefined;
  #pool: WorkerPool | undefined;
  #ingest: Ingest | undefined;
  #closed: Promise<void> | undefined;

  private constructor(layout: StoreLayout, superblock: Superblock, options: StoreOptions) {
    this.layout = layout;
    this.superblock = superblock;
    this.bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    this.warn = options.onWarning ?? (() => {});
    this.activity = new Activity(layout.root);
    this.proofs = new Proofs(layout, this.warn);
    this.requireProof = options.requireProof ?? false;
    this.#workers = options.workers ?? Math.min(2, availableParallelism());
    this.images = new Images(layout);
    this.leases = new Leases(layout);
    this.pins = new Pins(layout);
    this.layers = new Layers(layout, this.bootId);
    const layers = (): AsyncIterable<CatalogLayer> => this.#catalogLayers();
    this.catalog = new Catalog({ layout, storeId: superblock.id, layers, warn: this.warn });
    const { maxBytes, minFreeBytes, keepYounger, onEvicted } = options;
    this.maxBytes = maxBytes;
    this.minFreeBytes = minFreeBytes;
    if (maxBytes !== undefined) this.#budget = new BudgetKeeper(this, { maxBytes, keepYounger, onEvicted });
  }

  static async open(path: string, options: StoreOptions): Promise<StoreCore> {
    if (process.platform !== "linux") {
      throw new ShaleError("UNSUPPORTED_PLATFORM", `shale runs on Linux only, this is ${process.platform}`, { platform: process.platform });
    }
    options.signal?.throwIfAborted();
    return inStore(path, async () => {
      if (!existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o700 });
      const layout = new StoreLayout(realpathSync(path));
      refuseShared(layout.root);
      refusePlanted(layout);
      const superblock = readSuperblock(layout.superblock, layout.root) ?? (await initializeStore(layout, options.profile, options.signal));
      return new StoreCore(layout, superblock, options);
    });
  }

  get profile(): Profile {
    return this.superblock.profile;
  }

  get staging(): Staging {
    if (this.#staging) return this.#staging;
    sweepDownloads(join(this.layout.staging, "downloads"));
    return (this.#staging = Staging.create(this.layout.staging));
  }

  get pool(): WorkerPool {
    const onLost = (error: unknown): void => this.#ingest?.fail(error);
    return (this.#pool ??= new WorkerPool(new URL("./worker.js", import.meta.url), { size: this.#workers, onLost }));
  }

  get ingest(): Ingest {
    const { profile, owner } = this.superblock;
    if (this.#ingest && !this.#ingest.failed) return this.#ingest;
    return (this.#ingest = new Ingest({
      pool: this.pool,
      chunks: this.layout.chunks,
      writer: { profile, owner, trustedSince: bootStart(this.layout, this.bootId) },
      staging: this.staging.directory,
      counts: this.#ingest?.counts,
    }));
  }

  /** Once for each handle, beside its first pull that fetches; nobody waits for it. */
  settleDurability(): void {
    if (this.#durabilitySettled) return;
    this.#durabilitySettled = true;
    this.layers.settleDurability().catch((error: unknown) => this.warn("ERROR", `syncing earlier layers failed: ${String(error)}`));
  }

  /** Bounds the layers in flight of all pulls of this handle. Work that waits for others is given up at once when the signal says so. */
  async queued<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const queue = await (this.#downloads ??= import("p-queue").then(({ default: Queue }) => new Queue({ concurrency: LAYERS_IN_FLIGHT })));
    signal.throwIfAborted();
    // the queue's own signal would not wait for the end of work that has begun, and let another begin beside it
    const waiting = new AbortController();
    const giveUp = (): void => waiting.abort(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    const begin = (): Promise<T> => {
      signal.removeEventListener("abort", giveUp);
      return work();
    };
    return queue.add(begin, { signal: waiting.signal });
  }

  /** After a pull that brought something: in the background. */
  keepBudget(): void {
    if (!this.#closed) this.#budget?.check();
  }

  /** Bytes and chunks written so far by this handle. */
  get written(): { newChunks: number; newBytes: number } {
    return this.#ingest?.counts ?? { newChunks: 0, newBytes: 0 };
  }

  /** Runs an operation of this handle; `close` cancels it and waits for its end. @throws STORE_CLOSED */
  async run<T>(signal: AbortSignal | undefined, operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#closed) throw this.#closedError();
    const running = inStore(this.layout.root, () => operation(signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal));
    const tracked = running.catch(() => undefined);
    this.#running.add(tracked);
    try {
      return await running;
    } finally {
      this.#running.delete(tracked);
    }
  }

  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#abort.abort(this.#closedError());
    await Promise.all(this.#running);
    await this.#budget?.idle();
    await this.catalog.idle();
    this.#ingest?.close();
    await this.#pool?.close();
    this.#staging?.close();
  }

  #closedError(): ShaleError<"STORE_CLOSED"> {
    const path = this.layout.root;
    return new ShaleError("STORE_CLOSED", `the store ${JSON.stringify(path)} was closed; open it again`, { path });
  }

  /** From the sidecars, by the workers. A damaged one is left out: its layer is of no use before it is ingested again. */
  async *#catalogLayers(): AsyncGenerator<CatalogLayer> {
    const { profile: native, owner } = this.superblock;
    for (const diffId of this.layers.list()) {
      const sidecar = this.layers.sidecarPath(diffId);
      try {
        yield { diffId, inodes: await this.pool.run<Uint8Array>("tree/inodes", { sidecar, native, owner }) };
      } catch (error) {
        if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
        this.warn(error.code, error.message);
      }
    }
  }
}

/** Another user who can write here could give every image a setuid root shell; one who can read could run strangers' setuid files. */
function refuseShared(root: string): void {
  const stat = statSync(root);
  const self = process.geteuid?.();
  if (!stat.isDirectory()) {
    throw new ShaleError("NOT_A_STORE", `${JSON.stringify(root)} is no directory; choose another path`, { path: root });
  }
  if (stat.uid === self && (stat.mode & 0o077) === 0) return;
  const state = stat.uid === self ? `has mode 0${(stat.mode & 0o777).toString(8)}` : `belongs to uid ${stat.uid}`;
  const message = `${JSON.stringify(root)} ${state}; a store must be its user's alone: chmod 0700 it, or choose a directory of your own`;
  throw new ShaleError("STORE_PERMISSIONS", message, { path: root });
}
