/** What a pull needs of an open store; `session/` provides it. */
import type { Warn } from "../errors.ts";
import type { IngestTaskMap } from "../ingest/pipeline/engine.ts";
import type { TreeTaskMap } from "../tree/tasks.ts";
import type { DiffId } from "../image/digest.ts";
import type { Ingest } from "../ingest/pipeline/ingest.ts";
import type { Catalog } from "../store/catalog/catalog.ts";
import type { Images } from "../store/images.ts";
import type { Layers } from "../store/layers.ts";
import type { StoreLayout } from "../store/layout.ts";
import type { Leases } from "../store/leases.ts";
import type { Profile } from "../store/profile.ts";
import type { Proofs } from "../store/proofs.ts";
import type { Staging } from "../store/staging.ts";
import type { Superblock } from "../store/superblock.ts";
import type { TreeMarks } from "../store/tree-marks.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import type { TrustTerms } from "../tree/link-source-trust.ts";
import type { LayerFlight } from "./layer-flight.ts";

/** Enough for an image whose layers and trees exist: no network, no LevelDB, no workers. */
export interface BootStore {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  /** The kernel's boot_id. */
  readonly bootId: string;
  /** The store's native profile. */
  readonly profile: Profile;
  readonly images: Images;
  readonly leases: Leases;
  readonly warn: Warn;
  /** Loads the rest; the same object each time. */
  whole(): Promise<PullStore>;
}

/** Everything that fetching, ingesting and materializing need. */
export interface PullStore extends Omit<BootStore, "whole"> {
  readonly layers: Layers;
  readonly treeMarks: TreeMarks;
  readonly proofs: Proofs;
  readonly catalog: Catalog;
  readonly staging: Staging;
  readonly pool: WorkerPool<IngestTaskMap & TreeTaskMap>;
  readonly ingest: Ingest;
  /** Which link sources are known to be intact; read it before anything is written. */
  readonly trust: TrustTerms;
  /** Bytes of the file system that a pull must leave free. */
  readonly minFreeBytes: number | undefined;
  /** The layers that this process is fetching, by diff ID. */
  readonly flights: Map<DiffId, LayerFlight>;
  /** Files and bytes that this handle has added to chunks/ so far. */
  readonly written: { readonly newChunks: number; readonly newBytes: number };
  /** Bounds the layers in flight of all pulls of this handle. Rejects at once when `signal` aborts before `work` has begun. */
  queued<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  /** Starts the sync of layers that earlier pulls left unsynced. Not awaited. */
  settleDurability(): void;
  /** Starts the transfer of pending edges to the catalog. Not awaited. */
  tidyCatalog(): void;
  /** Starts a collection if the store has a budget. Not awaited. */
  keepBudget(): void;
}
