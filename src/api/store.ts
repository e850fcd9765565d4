/** The public handle of a store. What a cached pull does not need is loaded by the methods that do: this is the boot path of every sandbox. */
import { formatPlatform, hostPlatform, parsePlatform } from "../image/platform.ts";
import type { ImageConfig } from "../image/config.ts";
import { parseDiffId, type BlobDigest } from "../image/digest.ts";
import { formatReference, parseReference } from "../image/reference.ts";
import type { ImageLayer } from "../store/images.ts";
import { parseProfile, type Profile } from "../store/profile.ts";
import type { DematerializeResult } from "../gc/dematerialize.ts";
import type { GcOptions, GcResult } from "../gc/result.ts";
import type { KnownImage, Reason } from "../inspect/roots.ts";
import type { Usage } from "../inspect/usage.ts";
import type { Counters } from "./activity.ts";
import type { Why, WhyOptions } from "../inspect/why.ts";
import type { NamedLease as Lease } from "../store/leases.ts";
import type { Image } from "./image.ts";
import { DEFAULT_LIMITS } from "../pull/limits.ts";
import type { Pin } from "./pins.ts";
import { ProgressRelay } from "../pull/progress-relay.ts";
import { storedImage } from "../pull/cached-image.ts";
import { isDamage } from "../pull/pull-request.ts";
import type { StoreCore } from "../session/store-core.ts";
import { BootCore, type StoreOptions } from "../session/boot-core.ts";

export type { Lease, Pin };

export interface ImageQuery {
  /** `os/architecture[/variant]`; default: this host's. */
  readonly platform?: string | undefined;
  /** Default: the store's native profile. */
  readonly profile?: Profile | undefined;
  /** Default true: the image counts as there only if its trees can be made without fetching, and they are made. */
  readonly materialize?: "eager" | "lazy" | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface NameOptions {
  /** `os/architecture[/variant]`; default: this host's. */
  readonly platform?: string | undefined;
}

export interface RemoveOptions extends NameOptions {
  /** Remove it although it is pinned; the pin ends too. */
  readonly force?: boolean | undefined;
}

const cores: WeakMap<Store, BootCore> = new WeakMap();

/**
 * Opens the store in a directory, or makes one there if the directory is empty or absent. The directory must be this user's
 * alone (mode 0700) and on a local file system with hard links. Any number of processes may have one store open.
 * @throws NOT_A_STORE, STORE_VERSION, STORE_FEATURE, STORE_PERMISSIONS, STORE_UNWRITABLE, STORE_FILESYSTEM, STORE_DAMAGED,
 * NO_SPACE, UNSUPPORTED_PLATFORM
 */
export async function openStore(path: string, options: StoreOptions = {}): Promise<Store> {
  if (options.profile !== undefined) parseProfile(options.profile);
  return new Store(await BootCore.open(path, options));
}

/** An open store. Close it when done: that cancels what is under way, waits for its end, and releases locks and threads. */
export class Store {
  constructor(core: BootCore) {
    cores.set(this, core);
  }

  /** Absolute, symlinks resolved. */
  get path(): string {
    return coreOf(this).layout.root;
  }

  /** The profile that layers are ingested in, settled when the store was made. */
  get profile(): Profile {
    return coreOf(this).profile;
  }

  /** What this handle has done so far. The same is told on the channels of docs/embedding.md as it happens. */
  get counters(): Counters {
    return coreOf(this).activity.counters;
  }

  /** The image that a reference named when it was last pulled, or undefined; never asks a registry. @throws REFERENCE_INVALID, PLATFORM_INVALID */
  async image(reference: string, query: ImageQuery = {}): Promise<Image | undefined> {
    const core = coreOf(this);
    const parsed = parseReference(reference);
    const platform = query.platform === undefined ? hostPlatform() : parsePlatform(query.platform);
    const found = core.run(query.signal, (signal) =>
      storedImage({
        core,
        reference: parsed,
        name: formatReference(parsed),
        platform,
        signal,
        profile: query.profile ?? core.profile,
        policy: "if-missing",
        force: false,
        buildIndex: false,
        eager: query.materialize !== "lazy",
        durability: "deferred",
        keepBlobs: false,
        requireProof: core.requireProof,
        limits: DEFAULT_LIMITS,
        verifyManifest: undefined,
        source: () => Promise.reject(new TypeError(`${formatPlatform(platform)}: a cached image needs no source`)),
        relay: new ProgressRelay(undefined),
      }),
    );
    return found.catch((error: unknown) => {
      if (!isDamage(error)) throw error;
      core.warn(error.code, error.message);
      return undefined;
    });
  }

  /**
   * The uncompressed tar of a layer (`sha256:...`), rebuilt byte for byte from headers and chunks. Its SHA-256 is the diff ID, which is
   * checked at the end: bytes that came before a failure prove nothing. Break off the iteration to stop.
   * @throws DIGEST_INVALID, NOT_CACHED, STORE_DAMAGED, SIDECAR_INVALID, DIGEST_MISMATCH, STORE_CLOSED
   */
  async *exportLayer(
    diffId: string,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const core = coreOf(this);
    const layer = parseDiffId(diffId);
    const { profile: native, owner } = core.superblock;
    const { layers } = await core.run(options.signal, () => core.whole());
    const { exportLayer } = await import("../export/export-layer.ts");
    const [sidecar, headers] = [layers.sidecarPath(layer), layers.headersPath(layer)];
    yield* exportLayer({ diffId: layer, sidecar, headers, chunks: core.layout.chunks, native, owner, signal: options.signal });
  }

  /** Every image of the store, what keeps it, and when it was last used; in no order. */
  async images(): Promise<readonly StoredImage[]> {
    return runWhole(this, undefined, async (core) => {
      const { readImages } = await import("../inspect/roots.ts");
      return [...readImages(core, 0).values()].map(summary);
    });
  }

  /**
   * Forgets a reference; false when there was none. The image goes with the next `gc`, unless something else keeps it. `force` ends
   * a pin as well.
   * @throws REFERENCE_INVALID, PLATFORM_INVALID, REFERENCE_PINNED
   */
  async remove(reference: string, options: RemoveOptions = {}): Promise<boolean> {
    const { nameOf, pinnedError } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return runWhole(this, undefined, async (core) => {
      if (options.force) core.pins.remove(name);
      else if (core.pins.has(name, core.warn)) throw pinnedError(name);
      if (!core.images.resolve(name.reference, name.platform, core.warn)) return false;
      core.images.removeReference(name.reference, name.platform);
      return true;
    });
  }

  /**
   * Pins a reference: no budget removes its image, and `remove` refuses. The pin follows the reference when a pull moves it, lasts
   * until `unpin`, and may be set again. @throws REFERENCE_INVALID, PLATFORM_INVALID, NOT_CACHED when no image has the name
   */
  async pin(reference: string, options: NameOptions = {}): Promise<void> {
    const { nameOf, pinReference } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return runWhole(this, undefined, (core, signal) => pinReference(core, name, signal));
  }

  /** Ends a pin; false when there is none. @throws REFERENCE_INVALID, PLATFORM_INVALID */
  async unpin(reference: string, options: NameOptions = {}): Promise<boolean> {
    const { nameOf } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return runWhole(this, undefined, async (core) => core.pins.remove(name));
  }

  /** Every pin, sorted by reference and platform. */
  async pins(): Promise<readonly Pin[]> {
    const { byName, pinOf } = await import("./pins.ts");
    return runWhole(this, undefined, async (core) =>
      core.pins
        .list(core.warn)
        .map((pin) => pinOf(core, pin))
        .sort(byName),
    );
  }

  /**
   * Removes what nothing keeps: no reference, no lease by name or by a handle, no mount, no pull under way. Pulls and cached images
   * of other processes go on meanwhile. Cancelled or killed, it leaves a valid store, and the next one finishes.
   * @throws NO_SPACE, STORE_UNWRITABLE, STORE_CLOSED
   */
  async gc(options: GcOptions = {}): Promise<GcResult> {
    const core = coreOf(this);
    const keepBytes = options.keepBytes ?? core.maxBytes;
    const result = await runWhole(this, options.signal, async (whole, signal) => {
      const { collectGarbage } = await import("../gc/collect.ts");
      return collectGarbage(whole, { ...options, keepBytes, signal });
    });
    if (!options.dryRun) core.activity.collected(result);
    return result;
  }

  /**
   * Drops the trees that a reference's image has, in every profile, while its layers stay: the next pull, `image` or `materialize`
   * makes them again. Those in use are left, and told. Undefined when no image has the name. @throws REFERENCE_INVALID, PLATFORM_INVALID
   */
  async dematerialize(
    reference: string,
    options: NameOptions & { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<DematerializeResult | undefined> {
    const { nameOf } = await import("./pins.ts");
    const name = nameOf(reference, options);
    return runWhole(this, options.signal, async (core, signal) => {
      const digest = core.images.resolve(name.reference, name.platform, core.warn);
      if (!digest) return undefined;
      const { dematerializeImage } = await import("../gc/dematerialize.ts");
      return dematerializeImage(core, digest, signal);
    });
  }

  /** What each image and layer takes, alone and shared with others. Reads the whole chunk index. */
  async usage(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Usage> {
    return runWhole(this, options.signal, async (core, signal) => {
      const { storeUsage } = await import("../inspect/usage.ts");
      return storeUsage(core, signal);
    });
  }

  /**
   * What keeps an object: a reference; a digest of a manifest, config or kept blob, a diff ID, the digest of a file's content; a tree
   * id (26 characters); an inode id (32 characters, or its path below chunks/). A digest may name several things. Empty when the
   * store has no such object. The digest of a content is looked for in every sidecar. @throws REFERENCE_INVALID
   */
  async why(object: string, options: WhyOptions = {}): Promise<readonly Why[]> {
    return runWhole(this, options.signal, async (core, signal) => {
      const { whyKept } = await import("../inspect/why.ts");
      return whyKept(core, object, { ...options, signal });
    });
  }

  /**
   * Keeps an image under a name, beyond the life of this process, until `release(name)` or for `ttl` ms. A name that is there is
   * given to this image. @throws TypeError for an empty name or an image that is closed
   */
  async lease(name: string, image: Image, options: { readonly ttl?: number | undefined } = {}): Promise<void> {
    if (name === "" || image.leaseFd < 0) throw new TypeError("a lease needs a name and an image that is not closed");
    const core = coreOf(this);
    const expires = options.ttl === undefined ? {} : { expires: Date.now() + options.ttl };
    return core.run(undefined, async () => {
      core.leases.write({ name, manifestDigest: image.manifestDigest, ...expires });
      core.leases.touch(image.manifestDigest);
    });
  }

  /** Every lease by name that holds now, sorted by name. */
  async leases(): Promise<readonly Lease[]> {
    const core = coreOf(this);
    return core.run(undefined, async () => core.leases.list(core.warn).sort((a, b) => (a.name < b.name ? -1 : 1)));
  }

  /** Ends a lease by name; false when there is none. */
  async release(name: string): Promise<boolean> {
    const core = coreOf(this);
    return core.run(undefined, async () => core.leases.release(name));
  }

  /** Idempotent. */
  close(): Promise<void> {
    return coreOf(this).close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

export interface StoredImage {
  readonly manifestDigest: BlobDigest;
  readonly configDigest: BlobDigest;
  readonly config: ImageConfig;
  /** Bottom to top. */
  readonly layers: readonly ImageLayer[];
  readonly reasons: readonly Reason[];
  /** ms since 1970. */
  readonly lastUse: number;
}

function summary({ record, reasons, lastUse }: KnownImage): StoredImage {
  const { manifestDigest, configDigest, config, layers } = record;
  return { manifestDigest, configDigest, config, layers, reasons, lastUse };
}

/** Runs what needs more of the store than a cached pull. */
function runWhole<T>(
  store: Store,
  signal: AbortSignal | undefined,
  operation: (core: StoreCore, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const core = coreOf(store);
  return core.run(signal, async (own) => operation(await core.whole(), own));
}

/** For the other files of this folder. */
export function coreOf(store: Store): BootCore {
  const core = cores.get(store);
  if (!core) throw new TypeError("not a store opened by this copy of shale");
  return core;
}
