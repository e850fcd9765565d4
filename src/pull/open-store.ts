/** The public handle of a store. */
import { formatPlatform, hostPlatform, parsePlatform } from "../image/platform.ts";
import { parseDiffId } from "../image/digest.ts";
import { parseReference } from "../image/reference.ts";
import { exportLayer } from "../export/export-layer.ts";
import { parseProfile, type Profile } from "../store/profile.ts";
import type { Image } from "./image.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import { ProgressRelay } from "./progress-relay.ts";
import { cachedImage, isDamage } from "./pull-image.ts";
import { StoreCore, type StoreOptions } from "./store-core.ts";

export interface ImageQuery {
  /** `os/architecture[/variant]`; default: this host's. */
  readonly platform?: string | undefined;
  /** Default: the store's native profile. */
  readonly profile?: Profile | undefined;
  /** Default true: the image counts as there only if its trees can be made without fetching, and they are made. */
  readonly materialize?: "eager" | "lazy" | undefined;
  readonly signal?: AbortSignal | undefined;
}

const cores: WeakMap<Store, StoreCore> = new WeakMap();

/**
 * Opens the store in a directory, or makes one there if the directory is empty or absent. The directory must be this user's
 * alone (mode 0700) and on a local file system with hard links. Any number of processes may have one store open.
 * @throws NOT_A_STORE, STORE_VERSION, STORE_FEATURE, STORE_PERMISSIONS, STORE_UNWRITABLE, STORE_FILESYSTEM, STORE_DAMAGED,
 * NO_SPACE, UNSUPPORTED_PLATFORM
 */
export async function openStore(path: string, options: StoreOptions = {}): Promise<Store> {
  if (options.profile !== undefined) parseProfile(options.profile);
  return new Store(await StoreCore.open(path, options));
}

/** An open store. Close it when done: that cancels what is under way, waits for its end, and releases locks and threads. */
export class Store {
  constructor(core: StoreCore) {
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

  /** The image that a reference named when it was last pulled, or undefined; never asks a registry. @throws REFERENCE_INVALID, PLATFORM_INVALID */
  async image(reference: string, query: ImageQuery = {}): Promise<Image | undefined> {
    const core = coreOf(this);
    const parsed = parseReference(reference);
    const platform = query.platform === undefined ? hostPlatform() : parsePlatform(query.platform);
    const found = core.run(query.signal, (signal) =>
      cachedImage(
        {
          core,
          reference: parsed,
          platform,
          signal,
          profile: query.profile ?? core.profile,
          policy: "if-missing",
          force: false,
          buildIndex: false,
          eager: query.materialize !== "lazy",
          durability: "deferred",
          keepBlobs: false,
          limits: DEFAULT_LIMITS,
          verifyManifest: undefined,
          source: () => Promise.reject(new TypeError(`${formatPlatform(platform)}: a cached image needs no source`)),
          relay: new ProgressRelay(undefined),
        },
        performance.now(),
      ),
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
    await core.run(options.signal, () => Promise.resolve());
    const [sidecar, headers] = [core.layers.sidecarPath(layer), core.layers.headersPath(layer)];
    yield* exportLayer({ diffId: layer, sidecar, headers, chunks: core.layout.chunks, native, owner, signal: options.signal });
  }

  /** Idempotent. */
  close(): Promise<void> {
    return coreOf(this).close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** For the other files of this folder. */
export function coreOf(store: Store): StoreCore {
  const core = cores.get(store);
  if (!core) throw new TypeError("not a store opened by this copy of shale");
  return core;
}
