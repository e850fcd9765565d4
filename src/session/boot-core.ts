/** An open store as far as a cached pull needs it: the boot path of every sandbox. `whole()` loads the rest. */
import { ShaleError, type Warn } from "../errors.ts";
import { Images } from "../store/images.ts";
import { Leases } from "../store/leases.ts";
import { StoreLayout } from "../store/layout.ts";
import type { BootStore } from "../pull/pull-store.ts";
import { requireRealDirectories } from "../store/real-directory.ts";
import type { Profile } from "../store/profile.ts";
import { inStore } from "../store/store-error.ts";
import { readSuperblock, type Superblock } from "../store/superblock.ts";
import { readBootId } from "../system/boot-id.ts";
import { notifyUser } from "../system/user-callback.ts";
import type { StoreCore } from "./store-core.ts";
import type { StoreOptions } from "./store-options.ts";

const { existsSync, mkdirSync, realpathSync, statSync } = process.getBuiltinModule("node:fs");

export class BootCore implements BootStore {
  readonly layout: StoreLayout;
  readonly superblock: Superblock;
  readonly bootId: string;
  readonly images: Images;
  readonly leases: Leases;
  readonly requireProof: boolean;
  readonly warn: Warn;
  readonly maxBytes: number | undefined;
  readonly #options: StoreOptions;
  readonly #running = new Set<Promise<unknown>>();
  readonly #abort = new AbortController();
  #whole: Promise<StoreCore> | undefined;
  #closed: Promise<void> | undefined;

  private constructor(layout: StoreLayout, superblock: Superblock, options: StoreOptions) {
    this.layout = layout;
    this.superblock = superblock;
    this.bootId = readBootId();
    const { onWarning } = options;
    this.warn = (code, message) => notifyUser("onWarning", () => onWarning?.(code, message));
    this.requireProof = options.requireProof ?? false;
    this.images = new Images(layout, this.warn);
    this.leases = new Leases(layout, this.warn);
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
      requireRealDirectories(layout);
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

  /** Loads what fetching, reading and removal need; the same object each time. Call it only within `run`, which `close` waits for. */
  whole(): Promise<StoreCore> {
    return (this.#whole ??= this.#load());
  }

  async #load(): Promise<StoreCore> {
    const { StoreCore } = await import("./store-core.ts");
    return new StoreCore(this, this.#options);
  }

  /**
   * Runs one public operation. `close` aborts it and waits for its end. Errors of the operating system become store errors.
   * @throws STORE_CLOSED
   */
  async run<T>(signal: AbortSignal | undefined, operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#closed) throw this.#closedError();
    const running = inStore(this.layout.root, () => operation(this.#signalOf(signal)));
    const tracked = running.catch(() => undefined);
    this.#running.add(tracked);
    try {
      return await running;
    } finally {
      this.#running.delete(tracked);
    }
  }

  /**
   * The same for an operation that yields. Each step runs as one operation, so a consumer that pauses does not hold up `close`;
   * its next step throws STORE_CLOSED. `open` may return undefined for nothing.
   */
  async *stream<T>(
    signal: AbortSignal | undefined,
    open: (signal: AbortSignal) => Promise<AsyncIterable<T> | undefined>,
  ): AsyncGenerator<T, void, undefined> {
    const own = this.#signalOf(signal);
    const items = (await this.run(signal, () => open(own)))?.[Symbol.asyncIterator]();
    if (items === undefined) return;
    try {
      for (;;) {
        const step = await this.run(signal, () => items.next());
        if (step.done === true) return;
        yield step.value;
      }
    } finally {
      await items.return?.();
    }
  }

  #signalOf(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal;
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

/** A user who can write here can put a setuid root shell into every image; one who can read can run setuid files of images. */
function refuseShared(root: string): void {
  const stat = statSync(root);
  const self = process.geteuid?.();
  if (!stat.isDirectory()) {
    throw new ShaleError("NOT_A_STORE", `${JSON.stringify(root)} is not a directory; choose another path`, { path: root });
  }
  if (stat.uid === self && (stat.mode & 0o077) === 0) return;
  const state = stat.uid === self ? `has mode 0${(stat.mode & 0o777).toString(8)}` : `belongs to uid ${stat.uid}`;
  const message = `${JSON.stringify(root)} ${state}; only its user may have access to a store: chmod 0700 it, or choose a directory of your own`;
  throw new ShaleError("STORE_PERMISSIONS", message, { path: root });
}
