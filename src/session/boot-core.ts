/** One open store, as far as a cached pull needs it: this is the boot path of every sandbox. The rest is loaded by `whole()`. */
import { ShaleError } from "../errors.ts";
import type { GcResult } from "../gc/result.ts";
import { Images, type Warn } from "../store/images.ts";
import { Leases } from "../store/leases.ts";
import { StoreLayout } from "../store/layout.ts";
import { refusePlanted } from "../store/real-directory.ts";
import type { Profile } from "../store/profile.ts";
import { inStore } from "../store/store-error.ts";
import { readSuperblock, type Superblock } from "../store/superblock.ts";
import { Activity } from "../api/activity.ts";
import type { StoreCore } from "./store-core.ts";

const { existsSync, mkdirSync, readFileSync, realpathSync, statSync } = process.getBuiltinModule("node:fs");

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

export class BootCore {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly bootId: string;
  readonly images: Images;
  readonly leases: Leases;
  readonly requireProof: boolean;
  readonly warn: Warn;
  readonly activity: Activity;
  readonly maxBytes: number | undefined;
  readonly #options: StoreOptions;
  readonly #running = new Set<Promise<unknown>>();
  readonly #abort = new AbortController();
  #whole: Promise<StoreCore> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(layout: StoreLayout, superblock: Superblock, options: StoreOptions) {
    this.layout = layout;
    this.superblock = superblock;
    this.bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    this.warn = options.onWarning ?? (() => {});
    this.activity = new Activity(layout.root);
    this.requireProof = options.requireProof ?? false;
    this.images = new Images(layout);
    this.leases = new Leases(layout);
    this.maxBytes = options.maxBytes;
    this.#options = options;
  }

  static async open(path: string, options: StoreOptions): Promise<BootCore> {
    if (process.platform !== "linux") {
      throw new ShaleError("UNSUPPORTED_PLATFORM", `shale runs on Linux only, this is ${process.platform}`, { platform: process.platform });
    }
    options.signal?.throwIfAborted();
    return inStore(path, async () => {
      if (!existsSync(path)) mkdirSync(path, { recursive: true, mode: 0o700 });
      const layout = new StoreLayout(realpathSync(path));
      refuseShared(layout.root);
      refusePlanted(layout);
      const superblock = readSuperblock(layout.superblock, layout.root) ?? (await initialize(layout, options));
      return new BootCore(layout, superblock, options);
    });
  }

  get profile(): Profile {
    return this.superblock.profile;
  }

  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** What pulls that fetch, reading and removal need besides: the same object each time. Only within `run`, which `close` waits for. */
  whole(): Promise<StoreCore> {
    return (this.#whole ??= this.#load());
  }

  async #load(): Promise<StoreCore> {
    const { StoreCore } = await import("./store-core.ts");
    return new StoreCore(this, this.#options);
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
    await (await this.#whole)?.close();
  }

  #closedError(): ShaleError<"STORE_CLOSED"> {
    const path = this.layout.root;
    return new ShaleError("STORE_CLOSED", `the store ${JSON.stringify(path)} was closed; open it again`, { path });
  }
}

async function initialize(layout: StoreLayout, { profile, signal }: StoreOptions): Promise<Superblock> {
  const { initializeStore } = await import("../store/initialize.ts");
  return initializeStore(layout, profile, signal);
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
