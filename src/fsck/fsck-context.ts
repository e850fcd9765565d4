/** The state that the checks of one fsck share. */
import type { TreeTaskMap } from "../tree/tasks.ts";
import type { FsckTaskMap } from "./fsck-tasks.ts";
import { existsSync, renameSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { basename } from "node:path";
import { pMapIterable } from "p-map";
import { isErrno } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import type { TreeId } from "../store/ids.ts";
import type { ImageRecord, ReferenceRecord } from "../store/images.ts";
import { bootStart } from "../store/boot-start.ts";
import { Layers } from "../store/layers.ts";
import { Staging } from "../store/staging.ts";
import type { StoreLayout } from "../store/layout.ts";
import type { Profile } from "../store/profile.ts";
import type { Superblock } from "../store/superblock.ts";
import { TreeMarks } from "../store/tree-marks.ts";
import { readBootId } from "../system/boot-id.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import type { Resolution } from "../tree/resolution.ts";
import type { TrustTerms } from "../tree/link-source-trust.ts";
import type { Finding } from "./finding.ts";

export type FsckLevel = "quick" | "default" | "full";

export interface FsckProgress {
  readonly phase: "images" | "layers" | "chunks" | "trees" | "catalog" | "rebuild";
  readonly done: number;
  readonly total: number;
}

export interface FsckOptions {
  /** `quick`: structure, checksums of sidecars, size and attributes of every chunk. `default`: also all content. `full`: also rebuild every layer. */
  readonly level?: FsckLevel | undefined;
  /** Repair what is damaged. Default false: nothing in the store is changed. */
  readonly repair?: boolean | undefined;
  /** With `repair`: report what would be done, and do nothing. */
  readonly dryRun?: boolean | undefined;
  /** Number of worker threads. Default 2, or 1 on a machine with one core. */
  readonly workers?: number | undefined;
  /** How long to wait for the lock of the catalog. Default 10,000. */
  readonly patienceMs?: number | undefined;
  /** While an ingest runs or a layer must be fetched again, a repair keeps unused chunks that are younger than this, in ms. Default a day. */
  readonly keepYoungerMs?: number | undefined;
  readonly onProgress?: ((progress: FsckProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A layer whose sidecar is intact. */
export interface KnownLayer {
  readonly diffId: DiffId;
  /** The native inodes: sorted rows of INODE_ID_BYTES without duplicates. */
  readonly inodes: Buffer;
}

/** A tree whose id follows from a layer or image of this store. */
export interface KnownTree {
  readonly treeId: TreeId;
  readonly diffId: DiffId;
  readonly profile: Profile;
  readonly resolution: Resolution;
  readonly live: number;
}

export interface FsckInit {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly pool: WorkerPool<FsckTaskMap & TreeTaskMap>;
  readonly options: FsckOptions;
}

export class FsckContext {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly pool: WorkerPool<FsckTaskMap & TreeTaskMap>;
  readonly options: FsckOptions;
  readonly level: FsckLevel;
  readonly bootId: string;
  readonly layers: Layers;
  readonly treeMarks: TreeMarks;
  /** The checks fill these in their order. */
  readonly records: Map<string, ImageRecord> = new Map();
  readonly references: ReferenceRecord[] = [];
  readonly known: Map<DiffId, KnownLayer> = new Map();
  readonly trees: Map<TreeId, KnownTree> = new Map();
  #workspace: Staging | undefined;
  #since: number | undefined;

  constructor({ layout, superblock, pool, options }: FsckInit) {
    this.layout = layout;
    this.superblock = superblock;
    this.pool = pool;
    this.options = options;
    this.level = options.level ?? "default";
    this.bootId = readBootId();
    this.layers = new Layers(layout, this.bootId);
    this.treeMarks = new TreeMarks(layout, this.bootId);
  }

  get signal(): AbortSignal | undefined {
    return this.options.signal;
  }

  /** True if the store is to be changed. */
  get repairing(): boolean {
    return this.options.repair === true && this.options.dryRun !== true;
  }

  /** For trees that are made again. Writes to the store only if it is being repaired. */
  get trust(): TrustTerms {
    const { layout, bootId } = this;
    this.#since ??= this.repairing ? bootStart(layout, bootId) : Infinity;
    return { since: this.#since, verified: layout.verified(bootId) };
  }

  /** Returns the path relative to the root of the store. */
  relative(path: string): string {
    return this.layout.relative(path);
  }

  /** Returns the result of `work` on these layers; undefined if it failed because one of them was removed meanwhile. */
  async unlessRemoved<T>(diffIds: readonly DiffId[], work: () => Promise<T>): Promise<T | undefined> {
    for (let tries = 3; ; tries--) {
      try {
        return await work();
      } catch (error) {
        if (diffIds.some((diffId) => !existsSync(this.layout.layer(diffId)))) return undefined;
        // the layer was replaced and exists again: retry
        if (tries === 0 || !isErrno(error, "ENOENT")) throw error;
      }
    }
  }

  progress(phase: FsckProgress["phase"], done: number, total: number): void {
    this.options.onProgress?.({ phase, done, total });
  }

  /** Repairs a finding if a repair was requested. `work` returns false if the repair failed. */
  async corrected(found: Finding, repair: string, work: () => boolean | void | Promise<boolean | void>): Promise<Finding> {
    if (this.options.repair !== true) return found;
    if (this.options.dryRun === true) return { ...found, state: "would-correct", repair };
    return (await work()) === false ? found : { ...found, state: "corrected", repair };
  }

  /** Returns an unused path in this run's own directory on the store's file system. @throws an errno on a read-only store */
  fresh(prefix: string): string {
    return this.#staging.fresh(prefix);
  }

  get workspace(): string {
    return this.#staging.directory;
  }

  /** As for every handle (format/store.md, "Staging"), but directories of dead processes are kept: they are findings. */
  get #staging(): Staging {
    return (this.#workspace ??= Staging.createBesideDead(this.layout));
  }

  /** Moves an object to staging instead of deleting it: another process may be using it. */
  setAside(path: string): void {
    const target = this.layout.replaced(basename(path), randomBytes(4).toString("hex"));
    try {
      renameSync(path, target);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }

  /** Returns the references of the images that have one of these layers, or the manifest digest of an image without a reference. */
  imagesWith(diffIds: ReadonlySet<DiffId>): string[] {
    return this.namesOf(({ layers }) => layers.some(({ diffId }) => diffIds.has(diffId)));
  }

  namesOf(isWanted: (record: ImageRecord) => boolean): string[] {
    return [...this.records.values()].filter(isWanted).flatMap(({ manifestDigest }) => {
      const names = this.references.filter((reference) => reference.manifestDigest === manifestDigest).map(({ reference }) => reference);
      return names.length > 0 ? names : [manifestDigest];
    });
  }

  close(): void {
    this.#workspace?.close();
    this.#workspace = undefined;
  }
}

/** Number of results, in units of `concurrency`, that may wait for a slower one before them. */
const BACKPRESSURE = 16;

/** Yields the results of `work` in the order of `items`, with at most `concurrency` running. @throws the signal's reason */
export function mapInOrder<T, R>(
  items: Iterable<T>,
  { concurrency, signal }: { concurrency: number; signal: AbortSignal | undefined },
  work: (item: T) => Promise<R>,
): AsyncIterable<R> {
  const mapper = (item: T): Promise<R> => {
    signal?.throwIfAborted();
    return work(item);
  };
  return pMapIterable(items, mapper, { concurrency, backpressure: concurrency * BACKPRESSURE }) as AsyncIterable<R>;
}
