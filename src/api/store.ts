/** The public handle of a store: the boot path of every sandbox. What a cached pull does not need is loaded by the methods that use it. */
import type { DematerializeResult } from "../gc/dematerialize.ts";
import type { GcOptions, GcResult } from "../gc/gc-result.ts";
import type { ImageConfig } from "../image/config.ts";
import { parseDiffId, type BlobDigest } from "../image/digest.ts";
import { hostPlatform, parsePlatform } from "../image/platform.ts";
import { formatReference, parseReference } from "../image/reference.ts";
import type { KnownImage, Reason } from "../inspect/roots.ts";
import type { Usage } from "../inspect/usage.ts";
import type { Why, WhyOptions } from "../inspect/why.ts";
import { storedImage } from "../pull/cached-image.ts";
import { isDamage } from "../pull/pull-image.ts";
import { ProgressRelay } from "../pull/progress-relay.ts";
import { BootCore } from "../session/boot-core.ts";
import type { StoreCore } from "../session/store-core.ts";
import type { StoreOptions } from "../session/store-options.ts";
import type { ImageLayer } from "../store/images.ts";
import type { NamedLease as Lease } from "../store/leases.ts";
import { parseProfile, type Profile } from "../store/profile.ts";
import { Activity, type Counters } from "./activity.ts";
import { checkArgument, checkOptions, isBoolean, isFunction, isOneOf, isSignal, isText, isWhole, type Check } from "./check-options.ts";
import { Image, type SignalOptions } from "./image.ts";
import type { Pin } from "./pins.ts";

export type { Lease, Pin };

export interface ImageQuery {
  /** `os/architecture[/variant]`; default: this host's. */
  readonly platform?: string | undefined;
  /** Default: the store's native profile. */
  readonly profile?: Profile | undefined;
  /** `eager` (default): create the missing trees. `lazy`: only check that they can be created without fetching. */
  readonly materialize?: "eager" | "lazy" | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface NameOptions {
  /** `os/architecture[/variant]`; default: this host's. */
  readonly platform?: string | undefined;
}

export interface RemoveOptions extends NameOptions {
  /** Also end the pin, if the reference has one. */
  readonly force?: boolean | undefined;
}

/**
 * Opens the store in a directory; creates one if the directory is missing or empty. Only this user may have access to the directory
 * (mode 0700), which must be on a local file system with hard links. Any number of processes may open one store.
 * @throws NOT_A_STORE, STORE_VERSION, STORE_FEATURE, STORE_PERMISSIONS, STORE_UNWRITABLE, STORE_FILESYSTEM, STORE_DAMAGED,
 * NO_SPACE, UNSUPPORTED_PLATFORM, TypeError, RangeError
 */
export async function openStore(path: string, options: StoreOptions = {}): Promise<Store> {
  checkArgument("openStore", "path", path, isText);
  checkOptions("openStore", options, STORE_OPTIONS);
  if (options.profile !== undefined) parseProfile(options.profile);
  return Store.of(await BootCore.open(path, options));
}

const STORE_OPTIONS: Readonly<Record<keyof StoreOptions, Check>> = {
  profile: isText,
  workers: isWhole("threads", 1, 64),
  requireProof: isBoolean,
  maxBytes: isWhole("bytes"),
  keepYoungerMs: isWhole("ms"),
  onEvicted: isFunction,
  minFreeBytes: (value) => (value === -Infinity ? undefined : isWhole("bytes")(value)),
  onWarning: isFunction,
  signal: isSignal,
};

const NAME_OPTIONS = { platform: isText } as const;
const SIGNAL_OPTIONS = { signal: isSignal } as const;
const GC_OPTIONS: Readonly<Record<keyof GcOptions, Check>> = {
  ...SIGNAL_OPTIONS,
  dryRun: isBoolean,
  keepBytes: isWhole("bytes"),
  keepYoungerMs: isWhole("ms"),
  trees: isBoolean,
};

/** An open store. Close it when done: `close` cancels what is running, waits for its end, and releases locks and threads. */
export class Store {
  readonly #session: BootCore;
  readonly #activity: Activity;

  private constructor(session: BootCore) {
    this.#session = session;
    this.#activity = new Activity(session.layout.root);
  }

  /** @internal */
  static of(session: BootCore): Store {
    return new Store(session);
  }

  /** For the other files of this folder. @internal */
  static internals(store: Store): { readonly session: BootCore; readonly activity: Activity } {
    if (!(#session in store)) throw new TypeError("not a store opened by this copy of shale");
    return { session: store.#session, activity: store.#activity };
  }

  /** Absolute, symlinks resolved. */
  get path(): string {
    return this.#session.layout.root;
  }

  /** The profile that layers are ingested in; fixed when the store was created. */
  get profile(): Profile {
    return this.#session.profile;
  }

  /** What this handle has done so far. The channels of docs/embedding.md report the same as it happens. */
  get counters(): Counters {
    return this.#activity.counters;
  }

  /** The image that a reference named when it was last pulled, or undefined; uses no network. @throws REFERENCE_INVALID, PLATFORM_INVALID */
  async image(reference: string, query: ImageQuery = {}): Promise<Image | undefined> {
    checkOptions("image", query, { ...NAME_OPTIONS, ...SIGNAL_OPTIONS, profile: isText, materialize: isOneOf("eager", "lazy") });
    const session = this.#session;
    const parsed = parseReference(reference);
    const relay = new ProgressRelay(undefined);
    const request = {
      reference: parsed,
      name: formatReference(parsed),
      platform: query.platform === undefined ? hostPlatform() : parsePlatform(query.platform),
      profile: query.profile === undefined ? session.profile : parseProfile(query.profile),
      eager: query.materialize !== "lazy",
      buildIndex: false,
      requireProof: session.requireProof,
      relay,
    };
    try {
      const pulled = await session.run(query.signal, (signal) => storedImage(session, { ...request, signal }));
      return pulled && Image.of(session, pulled, { force: false, relay });
    } catch (error) {
      if (!isDamage(error)) throw error;
      session.warn(error.code, error.message);
      return undefined;
    }
  }

  /**
   * The uncompressed tar of a layer (`sha256:...`), rebuilt byte for byte from headers and chunks. The diff ID, its SHA-256, is checked at
   * the end: bytes that precede a failure are not verified. Leave the loop to stop.
   * @throws DIGEST_INVALID, NOT_CACHED, STORE_DAMAGED, SIDECAR_INVALID, DIGEST_MISMATCH, STORE_CLOSED
   */
  async *exportLayer(diffId: string, options: SignalOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    checkOptions("exportLayer", options, SIGNAL_OPTIONS);
    const session = this.#session;
    const layer = parseDiffId(diffId);
    yield* session.stream(options.signal, async (signal) => {
      const { layers } = await session.whole();
      const { exportLayer } = await import("../export/export-layer.ts");
      const { profile: native, owner } = session.superblock;
      const [sidecar, headers] = [layers.sidecarPath(layer), layers.headersPath(layer)];
      return exportLayer({ diffId: layer, sidecar, headers, chunks: session.layout.chunks, native, owner, signal });
    });
  }

  /** Every image of the store, with what keeps it and when it was last used; unordered. */
  async images(): Promise<readonly StoredImage[]> {
    return this.#whole(undefined, async (core) => {
      const { readImages } = await import("../inspect/roots.ts");
      return [...readImages(core, 0).values()].map(summary);
    });
  }

  /**
   * Removes a reference; false if it does not exist. The next `gc` removes the image unless something else keeps it. `force` also ends
   * a pin.
   * @throws REFERENCE_INVALID, PLATFORM_INVALID, REFERENCE_PINNED
   */
  async remove(reference: string, options: RemoveOptions = {}): Promise<boolean> {
    checkOptions("remove", options, { ...NAME_OPTIONS, force: isBoolean });
    const { nameOf, pinnedError } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return this.#whole(undefined, async (core) => {
      if (options.force) core.pins.remove(name);
      else if (core.pins.has(name)) throw pinnedError(name);
      if (!core.images.resolve(name.reference, name.platform)) return false;
      core.images.removeReference(name.reference, name.platform);
      return true;
    });
  }

  /**
   * Pins a reference until `unpin`: the budget does not evict its image, and `remove` refuses. The pin follows the reference when a pull
   * moves it. Idempotent. @throws REFERENCE_INVALID, PLATFORM_INVALID, NOT_CACHED if the reference names no image
   */
  async pin(reference: string, options: NameOptions = {}): Promise<void> {
    checkOptions("pin", options, NAME_OPTIONS);
    const { nameOf, pinReference } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return this.#whole(undefined, (core, signal) => pinReference(core, name, signal));
  }

  /** Ends a pin; false if there is none. @throws REFERENCE_INVALID, PLATFORM_INVALID */
  async unpin(reference: string, options: NameOptions = {}): Promise<boolean> {
    checkOptions("unpin", options, NAME_OPTIONS);
    const { nameOf } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return this.#whole(undefined, async (core) => core.pins.remove(name));
  }

  /** Every pin, sorted by reference and platform. */
  async pins(): Promise<readonly Pin[]> {
    const { byName, pinOf } = await import("./pins.ts");
    return this.#whole(undefined, async (core) =>
      core.pins
        .list()
        .map((pin) => pinOf(core, pin))
        .sort(byName),
    );
  }

  /**
   * Removes unreferenced data: what no reference, named lease, image handle, mount or running pull keeps. Other processes can pull and
   * use images meanwhile. If it is cancelled or killed, the store stays valid and the next run finishes the work.
   * @throws NO_SPACE, STORE_UNWRITABLE, STORE_CLOSED
   */
  async gc(options: GcOptions = {}): Promise<GcResult> {
    checkOptions("gc", options, GC_OPTIONS);
    const keepBytes = options.keepBytes ?? this.#session.maxBytes;
    const result = await this.#whole(options.signal, async (whole, signal) => {
      const { collectGarbage } = await import("../gc/collect-garbage.ts");
      return collectGarbage(whole, { ...options, keepBytes, signal });
    });
    if (!options.dryRun) this.#activity.collected(result);
    return result;
  }

  /**
   * Removes the trees of a reference's image, in every profile; its layers stay, and the next pull, `image` or `materialize` creates the
   * trees again. Keeps and reports trees in use. Undefined if the reference names no image. @throws REFERENCE_INVALID, PLATFORM_INVALID
   */
  async dematerialize(reference: string, options: NameOptions & SignalOptions = {}): Promise<DematerializeResult | undefined> {
    checkOptions("dematerialize", options, { ...NAME_OPTIONS, ...SIGNAL_OPTIONS });
    const { nameOf } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return this.#whole(options.signal, async (core, signal) => {
      const digest = core.images.resolve(name.reference, name.platform);
      if (!digest) return undefined;
      const { dematerializeImage } = await import("../gc/dematerialize.ts");
      return dematerializeImage(core, digest, signal);
    });
  }

  /** The disk space of each image and layer, its own and shared with others. Reads the whole chunk index. */
  async usage(options: SignalOptions = {}): Promise<Usage> {
    checkOptions("usage", options, SIGNAL_OPTIONS);
    return this.#whole(options.signal, async (core, signal) => {
      const { storeUsage } = await import("../inspect/usage.ts");
      return storeUsage(core, signal);
    });
  }

  /**
   * What keeps an object. `object` is a reference; a digest of a manifest, config, kept blob or file content; a diff ID; a tree id (26
   * characters); or an inode id (32 characters, or its path below chunks/). A digest may name several objects. Empty if the store has no
   * such object. The search for file content reads every sidecar. @throws REFERENCE_INVALID
   */
  async why(object: string, options: WhyOptions = {}): Promise<readonly Why[]> {
    checkArgument("why", "object", object, isText);
    checkOptions("why", options, { keepYoungerMs: isWhole("ms"), ...SIGNAL_OPTIONS });
    return this.#whole(options.signal, async (core, signal) => {
      const { whyKept } = await import("../inspect/why.ts");
      return whyKept(core, object, { ...options, signal });
    });
  }

  /**
   * Keeps an image under a name until `release(name)` or for `ttlMs`, beyond the life of this process. An existing lease of that name moves
   * to this image. Returns the lease with the time of its end. @throws TypeError for a closed image
   */
  async lease(name: string, image: Image, options: { readonly ttlMs?: number | undefined } = {}): Promise<Lease> {
    checkArgument("lease", "name", name, isText);
    checkOptions("lease", options, { ttlMs: isWhole("ms", 1) });
    if (Image.internals(image).pulled.lease.fd < 0) throw new TypeError("lease(): the image is closed; get it again from its store");
    const core = this.#session;
    const expires = options.ttlMs === undefined ? {} : { expires: Date.now() + options.ttlMs };
    return core.run(undefined, async () => {
      const lease = { name, manifestDigest: image.manifestDigest, ...expires };
      core.leases.write(lease);
      core.leases.touch(image.manifestDigest);
      return lease;
    });
  }

  /** Every named lease that has not expired, sorted by name. */
  async leases(): Promise<readonly Lease[]> {
    const core = this.#session;
    return core.run(undefined, async () => core.leases.list().sort((a, b) => (a.name < b.name ? -1 : 1)));
  }

  /** Ends a named lease; false if there is none. */
  async release(name: string): Promise<boolean> {
    const core = this.#session;
    return core.run(undefined, async () => core.leases.release(name));
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#session.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Runs an operation that needs more of the store than a cached pull. */
  #whole<T>(signal: AbortSignal | undefined, operation: (core: StoreCore, signal: AbortSignal) => Promise<T>): Promise<T> {
    return this.#session.run(signal, async (own) => operation(await this.#session.whole(), own));
  }
}

export interface StoredImage {
  readonly manifestDigest: BlobDigest;
  readonly configDigest: BlobDigest;
  readonly config: ImageConfig;
  /** Bottom to top. */
  readonly layers: readonly ImageLayer[];
  /** The references that name the image, each with the platform that it was pulled for. Empty if only something else keeps it. */
  readonly references: readonly { readonly reference: string; readonly platform: string }[];
  readonly reasons: readonly Reason[];
  /** ms since 1970. */
  readonly lastUse: number;
}

function summary({ record, references, reasons, lastUse }: KnownImage): StoredImage {
  const { manifestDigest, configDigest, config, layers } = record;
  const names = references.map(({ reference, platform }) => ({ reference, platform }));
  return { manifestDigest, configDigest, config, layers, references: names, reasons, lastUse };
}
