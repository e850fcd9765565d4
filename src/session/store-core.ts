/** An open store with everything its operations share: staging, workers, ingest, catalog, and the layers that are being fetched. */
import type { WorkerTaskMap } from "./worker.ts";
import { availableParallelism } from "node:os";
import { messageOf, ShaleError, type Warn } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import { Ingest } from "../ingest/pipeline/ingest.ts";
import { bootStart } from "../store/boot-start.ts";
import { sweepDownloads } from "../store/downloads.ts";
import { Catalog } from "../store/catalog/catalog.ts";
import type { CatalogLayer } from "../store/catalog/catalog-session.ts";
import type { Images } from "../store/images.ts";
import { Layers } from "../store/layers.ts";
import type { Leases } from "../store/leases.ts";
import type { StoreLayout } from "../store/layout.ts";
import { Proofs } from "../store/proofs.ts";
import { Pins } from "../store/pins.ts";
import type { Profile } from "../store/profile.ts";
import { TreeMarks } from "../store/tree-marks.ts";
import { Staging } from "../store/staging.ts";
import type { Superblock } from "../store/superblock.ts";
import type { StoreOptions } from "./store-options.ts";
import { BudgetKeeper } from "./budget-keeper.ts";
import type { TrustTerms } from "../tree/link-source-trust.ts";
import type { LayerFlight } from "../pull/layer-flight.ts";
import type { BootStore, PullStore } from "../pull/pull-store.ts";
import { WorkerPool } from "../system/worker-pool.ts";

/** Two keep both workers inflating; the third hides the latency of the next. Must be less than the number of slabs: each layer holds one. */
const LAYERS_IN_FLIGHT = 3;

/** The part of p-queue that is used. Its own declarations need DOM types, which users' programs lack. */
interface Downloads {
  add<T>(work: () => Promise<T>, options?: { readonly signal?: AbortSignal }): Promise<T>;
}

/** What is open already. */
export interface OpenStore extends Omit<BootStore, "whole"> {
  readonly isClosed: boolean;
}

export class StoreCore implements PullStore {
  readonly #boot: OpenStore;
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly bootId: string;
  readonly images: Images;
  readonly leases: Leases;
  readonly pins: Pins;
  readonly layers: Layers;
  readonly treeMarks: TreeMarks;
  readonly proofs: Proofs;
  readonly catalog: Catalog;
  readonly warn: Warn;
  readonly minFreeBytes: number | undefined;
  readonly #budget: BudgetKeeper | undefined;
  readonly flights: Map<DiffId, LayerFlight> = new Map();
  readonly #workers: number;
  #durabilitySettled = false;
  #tidying: Promise<void> | undefined;
  #downloads: Promise<Downloads> | undefined;
  #staging: Staging | undefined;
  #pool: WorkerPool<WorkerTaskMap> | undefined;
  #ingest: Ingest | undefined;
  #trust: TrustTerms | undefined;

  constructor(boot: OpenStore, options: StoreOptions) {
    const { layout, superblock, bootId, images, leases, warn } = boot;
    this.#boot = boot;
    this.layout = layout;
    this.superblock = superblock;
    this.bootId = bootId;
    this.images = images;
    this.leases = leases;
    this.warn = warn;
    this.proofs = new Proofs(layout, warn);
    this.#workers = options.workers ?? Math.min(2, availableParallelism());
    this.pins = new Pins(layout, warn);
    this.layers = new Layers(layout, bootId);
    this.treeMarks = new TreeMarks(layout, bootId);
    const layers = (): AsyncIterable<CatalogLayer> => this.#catalogLayers();
    this.catalog = new Catalog({ layout, storeId: superblock.id, layers, warn });
    const { maxBytes, minFreeBytes, keepYoungerMs, onEvicted } = options;
    this.minFreeBytes = minFreeBytes;
    if (maxBytes !== undefined) this.#budget = new BudgetKeeper(this, { maxBytes, keepYoungerMs, onEvicted });
  }

  get profile(): Profile {
    return this.superblock.profile;
  }

  get staging(): Staging {
    if (this.#staging) return this.#staging;
    sweepDownloads(this.layout);
    return (this.#staging = Staging.create(this.layout));
  }

  get pool(): WorkerPool<WorkerTaskMap> {
    const onLost = (error: unknown): void => this.#ingest?.fail(error);
    return (this.#pool ??= new WorkerPool(new URL("./worker.js", import.meta.url), { size: this.#workers, onLost }));
  }

  get trust(): TrustTerms {
    const { layout, bootId } = this;
    return (this.#trust ??= { since: bootStart(layout, bootId), verified: layout.verified(bootId) });
  }

  get ingest(): Ingest {
    const { profile, owner } = this.superblock;
    if (this.#ingest && !this.#ingest.failed) return this.#ingest;
    return (this.#ingest = new Ingest({
      pool: this.pool,
      chunks: this.layout.chunks,
      writer: { profile, owner, trustedSince: this.trust.since },
      staging: this.staging.directory,
      counts: this.#ingest?.counts,
    }));
  }

  /** Runs once per handle, during its first pull that fetches. */
  settleDurability(): void {
    if (this.#durabilitySettled) return;
    this.#durabilitySettled = true;
    this.layers
      .settleDurability(this.treeMarks)
      .catch((error: unknown) => this.warn("ERROR", `syncing earlier layers failed: ${messageOf(error)}`));
  }

  async queued<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const queue = await (this.#downloads ??= import("p-queue").then(({ default: Queue }) => new Queue({ concurrency: LAYERS_IN_FLIGHT })));
    signal.throwIfAborted();
    // p-queue's own signal would also abandon running work, and start other work beside it
    const waiting = new AbortController();
    const giveUp = (): void => waiting.abort(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    const begin = (): Promise<T> => {
      signal.removeEventListener("abort", giveUp);
      return work();
    };
    return queue.add(begin, { signal: waiting.signal });
  }

  /** Runs after a layer was announced, and again on close. */
  tidyCatalog(): void {
    this.#tidying = this.catalog
      .tidy()
      .catch((error: unknown) => this.warn("ERROR", `the chunk index could not be written: ${messageOf(error)}`));
  }

  keepBudget(): void {
    if (!this.#boot.isClosed) this.#budget?.check();
  }

  get written(): { newChunks: number; newBytes: number } {
    return this.#ingest?.counts ?? { newChunks: 0, newBytes: 0 };
  }

  /** Called by `boot` when all operations have ended. */
  async close(): Promise<void> {
    await this.#budget?.idle();
    if (this.#tidying) this.tidyCatalog();
    await this.#tidying;
    await this.catalog.idle();
    this.#ingest?.close();
    await this.#pool?.close();
    this.#staging?.close();
  }

  /** Read from the sidecars by the workers. A damaged sidecar is skipped: its layer is unusable until it is ingested again. */
  async *#catalogLayers(): AsyncGenerator<CatalogLayer> {
    const { profile: native, owner } = this.superblock;
    for (const diffId of this.layers.list()) {
      const sidecar = this.layers.sidecarPath(diffId);
      try {
        yield { diffId, inodes: await this.pool.run("tree/inodes", { sidecar, native, owner }) };
      } catch (error) {
        if (!ShaleError.is(error, "SIDECAR_INVALID")) throw error;
        this.warn(error.code, error.message);
      }
    }
  }
}
