/** What the parts of one fsck share. */
import { existsSync, readFileSync, renameSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { basename, join } from "node:path";
import { isErrno } from "../errors.ts";
import type { DiffId } from "../image/digest.ts";
import type { ImageRecord, ReferenceRecord } from "../store/images.ts";
import { bootStart } from "../store/boot-start.ts";
import { Layers } from "../store/layers.ts";
import { Staging } from "../store/staging.ts";
import type { StoreLayout } from "../store/layout.ts";
import type { Profile } from "../store/profile.ts";
import type { Superblock } from "../store/superblock.ts";
import { TreeMarks } from "../store/tree-marks.ts";
import type { WorkerPool } from "../system/worker-pool.ts";
import type { Resolution } from "../tree/resolution.ts";
import type { TrustTerms } from "../tree/source-trust.ts";
import type { Finding } from "./finding.ts";

export type FsckLevel = "quick" | "default" | "full";

export interface FsckProgress {
  readonly phase: "images" | "layers" | "chunks" | "trees" | "catalog" | "rebuild";
  readonly done: number;
  readonly total: number;
}

export interface FsckOptions {
  /** `quick`: structure, checksums of sidecars, size and attributes of every chunk. `default`: content of everything. `full`: every layer rebuilt too. */
  readonly level?: FsckLevel | undefined;
  /** Put right what is wrong. Default false: nothing in the store is changed. */
  readonly repair?: boolean | undefined;
  /** With `repair`: say what would be done, and do nothing. */
  readonly dryRun?: boolean | undefined;
  /** Worker threads; default 2, or 1 on a machine with one core. */
  readonly workers?: number | undefined;
  /** Milliseconds to wait for the catalog's lock; default 10,000. */
  readonly patience?: number | undefined;
  /** Milliseconds for which a repair leaves chunks alone that no layer has: an ingest may be about to use them. Default a day. */
  readonly keepYoungerMs?: number | undefined;
  readonly onProgress?: ((progress: FsckProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A layer whose sidecar is good. */
export interface KnownLayer {
  readonly diffId: DiffId;
  /** Rows of INODE_ID_BYTES, sorted, each once: the native inodes. */
  readonly inodes: Buffer;
}

/** A tree that a layer of this store explains. */
export interface KnownTree {
  readonly treeId: string;
  readonly diffId: DiffId;
  readonly profile: Profile;
  readonly resolution: Resolution;
  readonly live: number;
}

export interface FsckInit {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly pool: WorkerPool;
  readonly options: FsckOptions;
}

export class FsckContext {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly pool: WorkerPool;
  readonly options: FsckOptions;
  readonly level: FsckLevel;
  readonly bootId: string;
  readonly layers: Layers;
  readonly treeMarks: TreeMarks;
  /** Filled by the checks, in their order. */
  readonly records: Map<string, ImageRecord> = new Map();
  readonly references: ReferenceRecord[] = [];
  readonly known: Map<DiffId, KnownLayer> = new Map();
  readonly trees: Map<string, KnownTree> = new Map();
  #workspace: Staging | undefined;
  #since: number | undefined;

  constructor({ layout, superblock, pool, options }: FsckInit) {
    this.layout = layout;
    this.superblock = superblock;
    this.pool = pool;
    this.options = options;
    this.level = options.level ?? "default";
    this.bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    this.layers = new Layers(layout, this.bootId);
    this.treeMarks = new TreeMarks(layout, this.bootId);
  }

  get signal(): AbortSignal | undefined {
    return this.options.signal;
  }

  /** True when something is really to be done. */
  get repairing(): boolean {
    return this.options.repair === true && this.options.dryRun !== true;
  }

  /** For trees that are made again: nothing is written to a store that is only looked at. */
  get trust(): TrustTerms {
    const { layout, bootId } = this;
    this.#since ??= this.repairing ? bootStart(layout, bootId) : Infinity;
    return { since: this.#since, verified: join(layout.staging, `verified-${bootId}`) };
  }

  /** The store's path of an absolute one. */
  relative(path: string): string {
    return path.slice(this.layout.root.length + 1);
  }

  /** What work on these layers came to; undefined when it failed since one of them was removed or replaced meanwhile. */
  async whileThere<T>(diffIds: readonly DiffId[], work: () => Promise<T>): Promise<T | undefined> {
    for (let tries = 3; ; tries--) {
      try {
        return await work();
      } catch (error) {
        if (diffIds.some((diffId) => !existsSync(this.layout.layer(diffId)))) return undefined;
        // brought back by now: once more
        if (tries === 0 || !isErrno(error, "ENOENT")) throw error;
      }
    }
  }

  progress(phase: FsckProgress["phase"], done: number, total: number): void {
    this.options.onProgress?.({ phase, done, total });
  }

  /** Does the repair of a finding if that was asked for. `work` tells whether it succeeded. */
  async corrected(found: Finding, repair: string, work: () => boolean | void | Promise<boolean | void>): Promise<Finding> {
    if (this.options.repair !== true) return found;
    if (this.options.dryRun === true) return { ...found, state: "would-correct", repair };
    return (await work()) === false ? found : { ...found, state: "corrected", repair };
  }

  /** A path that nothing has, in a directory of this run on the store's file system. @throws an errno on a read-only store */
  fresh(prefix: string): string {
    return this.#staging.fresh(prefix);
  }

  get workspace(): string {
    return this.#staging.directory;
  }

  /** As every handle's (format/store.md, "Staging"), but the directories of the dead stay: they are findings. */
  get #staging(): Staging {
    return (this.#workspace ??= Staging.createBesideDead(this.layout.staging));
  }

  /** Moves something out of the way without deleting it: somebody may be using it. */
  setAside(path: string): void {
    const target = join(this.layout.staging, `replaced-${basename(path).slice(0, 80)}-${randomBytes(4).toString("hex")}`);
    try {
      renameSync(path, target);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }

  /** The images that have one of these layers, by reference, or by manifest digest where none names them. */
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

/** Results as they come, at most `limit` under way; stops when the signal says so. */
export async function* inParallel<T, R>(
  items: Iterable<T>,
  { limit, signal }: { limit: number; signal: AbortSignal | undefined },
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running = new Set<Promise<{ value: R; self: Promise<unknown> }>>();
  const iterator = items[Symbol.iterator]();
  try {
    for (;;) {
      signal?.throwIfAborted();
      while (running.size < limit) {
        const next = iterator.next();
        if (next.done) break;
        const started: Promise<{ value: R; self: Promise<unknown> }> = work(next.value).then((value) => ({ value, self: started }));
        running.add(started);
      }
      if (running.size === 0) return;
      const { value, self } = await Promise.race(running);
      running.delete(self as typeof running extends Set<infer P> ? P : never);
      yield value;
    }
  } finally {
    await Promise.allSettled(running);
  }
}
