/** The public entry of pulls. */
import { hostPlatform, parsePlatform } from "../image/platform.ts";
import { parseReference, type Reference } from "../image/reference.ts";
import type { Credentials, CredentialsProvider } from "../source/credentials.ts";
import { checkParallelRanges, type ParallelRanges } from "../source/parallel-ranges.ts";
import type { RetryPolicy } from "../source/retry.ts";
import type { Source } from "../source/source.ts";
import { parseProfile, type Profile } from "../store/profile.ts";
import type { Image } from "./image.ts";
import { resolveLimits, type Limits } from "./limits.ts";
import { coreOf, type Store } from "./open-store.ts";
import type { ProgressSink } from "./progress.ts";
import { ProgressRelay } from "./progress-relay.ts";
import { pullImage, type PullPolicy } from "./pull-image.ts";
import type { VerifyManifest } from "./resolve-image.ts";

export interface RegistryOptions {
  /** Stays the caller's: close it after the registry. */
  readonly store: Store;
  /** `os/architecture[/variant]`; default: this host's. */
  readonly platform?: string | undefined;
  /**
   * For every registry (mirrors excepted); or looked up by host (`docker.io`, `localhost:5000`) and repository; or `anonymous`.
   * Default: where the containers tools and Docker keep them, `REGISTRY_AUTH_FILE` first; helpers are asked.
   */
  readonly credentials?: Credentials | CredentialsProvider | "anonymous" | undefined;
  /** Speak plain HTTP to all registries, or to these hosts; default: to none. */
  readonly plainHttp?: boolean | readonly string[] | undefined;
  /** Take any certificate, of all registries or of these hosts; default: of none. */
  readonly insecure?: boolean | readonly string[] | undefined;
  /** Certificates of authorities (PEM) to trust beside those that Node trusts. */
  readonly ca?: string | readonly string[] | undefined;
  /**
   * Directories with hosts.toml files (mirrors) and certificates, a directory in them for each registry; default:
   * `/etc/containerd/certs.d`, `/etc/containers/certs.d`, `/etc/docker/certs.d`.
   */
  readonly hostDirectories?: readonly string[] | undefined;
  /**
   * Fetch layers that the registry does not have from the `urls` of their descriptors: https, no credentials, public addresses only.
   * Default false: the image's maker does not decide whom this machine asks.
   */
  readonly allowForeignLayers?: boolean | undefined;
  /** Keep blobs as they came, in the store's `blobs/`; what is there is not fetched. Default false. */
  readonly keepBlobs?: boolean | undefined;
  /** As the store's option, for the pulls of this registry. Default: the store's. It can ask for more than the store, not for less. */
  readonly requireProof?: boolean | undefined;
  /** Fetch large layers by several requests at a time, for networks that give one connection less than they have. Default: one request. */
  readonly parallelRanges?: ParallelRanges | undefined;
  /** Offer HTTP/2 to registries with TLS: one connection a host in place of several. Default false; see docs/registries.md for when it pays. */
  readonly http2?: boolean | undefined;
  /** How often and how long a failing registry is tried. */
  readonly retry?: Partial<RetryPolicy> | undefined;
  /** Default: the store's native profile. */
  readonly profile?: Profile | undefined;
  readonly userAgent?: string | undefined;
  /** Called with each image's manifest before any layer is fetched; what it throws fails the pull. */
  readonly verifyManifest?: VerifyManifest | undefined;
  /** What an image may cost at most; each has a default. See docs/limits.md. */
  readonly limits?: { readonly [K in keyof Limits]?: Limits[K] | undefined } | undefined;
}

export interface PullOptions {
  /** `if-missing` (default): the store's image if it is complete; `always`: ask the registry what the name means now, fetch what changed; `never`: NOT_CACHED unless complete. */
  readonly pullPolicy?: PullPolicy | undefined;
  /** Fetch and ingest every layer again; what is right in the store keeps its inodes. Default false. */
  readonly force?: boolean | undefined;
  /** Write the path index into the sidecars. Default true. */
  readonly buildIndex?: boolean | undefined;
  /** `lazy`: resolve once the layers are ingested; `layers` are then promises that `image.materialize()` keeps. Default `eager`. */
  readonly materialize?: "eager" | "lazy" | undefined;
  readonly profile?: Profile | undefined;
  readonly platform?: string | undefined;
  /** As the store's option, for this pull; it cannot ask for less. */
  readonly requireProof?: boolean | undefined;
  /** `barrier`: each layer is on the disk before it counts as there. `deferred` (default): layers that a power cut may have damaged are verified before use. */
  readonly durability?: "deferred" | "barrier" | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressSink | undefined;
}

/** Pulls images into a store, from registries and OCI layouts. Connections and tokens are kept between pulls. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #limits: Limits;
  readonly #sources = new Map<Reference["transport"], Promise<Source>>();

  constructor(options: RegistryOptions) {
    if (options.profile !== undefined) parseProfile(options.profile);
    if (options.platform !== undefined) parsePlatform(options.platform);
    if (options.parallelRanges !== undefined) checkParallelRanges(options.parallelRanges);
    this.#options = options;
    this.#limits = resolveLimits(options.limits);
  }

  /**
   * Makes an image's layers available as directories: from the store if the policy allows, else from where the reference says.
   * The image holds a lease until it is closed. Cancelling rejects with the signal's reason and leaves the store valid.
   * @throws REFERENCE_INVALID, NOT_CACHED, IMAGE_NOT_FOUND, BLOB_NOT_FOUND, PLATFORM_NOT_FOUND, MANIFEST_*, CONFIG_INVALID,
   * LAYER_*, TAR_*, DIGEST_MISMATCH, SIZE_MISMATCH, LIMIT_*, REGISTRY_*, CREDENTIAL_HELPER_FAILED, CONFIGURATION_INVALID,
   * SOURCE_INVALID, NO_SPACE, STORE_*
   */
  async pull(reference: string, options: PullOptions = {}): Promise<Image> {
    const core = coreOf(this.#options.store);
    const activity = core.activity.pull(reference);
    const relay = new ProgressRelay(options.onProgress, activity.saw);
    try {
      options.signal?.throwIfAborted();
      const parsed = parseReference(reference);
      const platform = options.platform ?? this.#options.platform;
      const { verifyManifest, keepBlobs = false, requireProof } = this.#options;
      const image = await core.run(options.signal, (signal) =>
        pullImage({
          core,
          reference: parsed,
          platform: platform === undefined ? hostPlatform() : parsePlatform(platform),
          profile: parseProfile(options.profile ?? this.#options.profile ?? core.profile),
          policy: options.pullPolicy ?? "if-missing",
          force: options.force ?? false,
          buildIndex: options.buildIndex ?? true,
          eager: options.materialize !== "lazy",
          durability: options.durability ?? "deferred",
          keepBlobs,
          requireProof: [core.requireProof, requireProof, options.requireProof].includes(true),
          limits: this.#limits,
          verifyManifest,
          source: () => this.#source(parsed),
          relay,
          signal,
        }),
      );
      activity.succeeded(image);
      return image;
    } catch (error) {
      const failure = ProgressRelay.describe(error);
      relay.send({ kind: "failed", ...failure });
      activity.failed(failure.code);
      throw error;
    }
  }

  /** Ends connections; idempotent. Images stay usable. */
  async close(): Promise<void> {
    const sources = await Promise.all(this.#sources.values());
    this.#sources.clear();
    await Promise.all(sources.map((source) => source.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Loaded when first needed: a cached pull pays for no HTTP client. */
  #source({ transport }: Reference): Promise<Source> {
    const known = this.#sources.get(transport);
    if (known) return known;
    const opening = transport === "docker" ? this.#openRegistry() : openLayout();
    this.#sources.set(transport, opening);
    return opening;
  }

  async #openRegistry(): Promise<Source> {
    const { RegistrySource } = await import("../source/registry.ts");
    return new RegistrySource(this.#options);
  }
}

async function openLayout(): Promise<Source> {
  const { LayoutSource } = await import("../source/layout.ts");
  return new LayoutSource();
}
