/** The public entry of pulls. */
import { ShaleError } from "../errors.ts";
import { hostPlatform, parsePlatform } from "../image/platform.ts";
import { formatReference, parseReference, type ArchiveReference, type Reference } from "../image/reference.ts";
import type { ArchiveSource } from "../source/local/archive-source.ts";
import type { Credentials, CredentialsProvider } from "../source/auth/credentials.ts";
import type { ParallelRanges } from "../source/registry/parallel-ranges.ts";
import type { RetryPolicy } from "../source/http/retry.ts";
import type { Source } from "../source/source.ts";
import { parseProfile, type Profile } from "../store/profile.ts";
import type { Activity } from "./activity.ts";
import {
  checkArgument,
  checkOptions,
  isBoolean,
  isEither,
  isFunction,
  isIterable,
  isListOf,
  isOneOf,
  isRecord,
  isSignal,
  isText,
  isWhole,
  type Check,
} from "./check-options.ts";
import { Image } from "./image.ts";
import { resolveLimits, type Limits } from "../pull/limits.ts";
import type { BootCore } from "../session/boot-core.ts";
import { Store } from "./store.ts";
import type { ProgressSink } from "../pull/progress.ts";
import { ProgressRelay } from "../pull/progress-relay.ts";
import { pullImage } from "../pull/pull-image.ts";
import type { PulledImage, PullPolicy } from "../pull/pull-request.ts";
import type { VerifyManifest } from "../pull/resolve-image.ts";

export interface RegistryOptions {
  /** The caller keeps ownership: close it after the registry. */
  readonly store: Store;
  /** `os/architecture[/variant]`; default: this host's. */
  readonly platform?: string | undefined;
  /**
   * For every registry except mirrors; or a function of host (`docker.io`, `localhost:5000`) and repository; or `anonymous`. Default: the
   * files of the containers tools and of Docker, `REGISTRY_AUTH_FILE` first, and their credential helpers.
   */
  readonly credentials?: Credentials | CredentialsProvider | "anonymous" | undefined;
  /** Use plain HTTP for all registries, or for these hosts. Default: none. */
  readonly plainHttp?: boolean | readonly string[] | undefined;
  /** Accept any certificate of all registries, or of these hosts. Default: none. */
  readonly insecure?: boolean | readonly string[] | undefined;
  /** CA certificates (PEM) that are trusted in addition to those of Node. */
  readonly ca?: string | readonly string[] | undefined;
  /**
   * Directories with hosts.toml files (mirrors) and certificates, in one subdirectory per registry. Default: `/etc/containerd/certs.d`, `/etc/containers/certs.d`, `/etc/docker/certs.d`.
   */
  readonly hostDirectories?: readonly string[] | undefined;
  /**
   * Fetch layers that the registry lacks from the `urls` of their descriptors: only https, public addresses, and no credentials. Default
   * false, since the image's author would choose which hosts this machine contacts.
   */
  readonly allowForeignLayers?: boolean | undefined;
  /** Keep the compressed blobs in the store's `blobs/`; a kept blob is not fetched again. Default false. */
  readonly keepBlobs?: boolean | undefined;
  /** As the store's option, for the pulls of this registry. Cannot relax the store's. */
  readonly requireProof?: boolean | undefined;
  /** Fetch large layers with several concurrent requests, for networks that limit the rate of one connection. Default: one request. */
  readonly parallelRanges?: ParallelRanges | undefined;
  /** Offer HTTP/2 to registries with TLS: one connection per host instead of several. Default false; docs/registries.md says when it helps. */
  readonly http2?: boolean | undefined;
  /** Retries of failed requests. */
  readonly retry?: Partial<RetryPolicy> | undefined;
  /** Default: the store's native profile. */
  readonly profile?: Profile | undefined;
  readonly userAgent?: string | undefined;
  /** Called with each image's manifest before any layer is fetched. An exception fails the pull. */
  readonly verifyManifest?: VerifyManifest | undefined;
  /** Limits on images; each has a default. See docs/limits.md. */
  readonly limits?: { readonly [K in keyof Limits]?: Limits[K] | undefined } | undefined;
}

export interface PullOptions {
  /** `if-missing` (default): use the store's image if complete. `always`: resolve the reference again, fetch what changed. `never`: NOT_CACHED unless complete. */
  readonly pullPolicy?: PullPolicy | undefined;
  /** Fetch and ingest every layer again; intact data of the store keeps its inodes. Default false. */
  readonly force?: boolean | undefined;
  /** Write the path index into the sidecars. Default true. */
  readonly buildIndex?: boolean | undefined;
  /** `lazy`: resolve when the layers are ingested; `image.materialize()` creates the directories later. Default `eager`. */
  readonly materialize?: "eager" | "lazy" | undefined;
  readonly profile?: Profile | undefined;
  readonly platform?: string | undefined;
  /** As the store's option, for this pull. Cannot relax it. */
  readonly requireProof?: boolean | undefined;
  /** `barrier`: sync each layer to the disk before it is published. `deferred` (default): verify layers that a power cut may have damaged before use. */
  readonly durability?: "deferred" | "barrier" | undefined;
  /** Name of the image in the store, instead of the reference; required for an archive from standard input that does not name its image. */
  readonly as?: string | undefined;
  /** The stream for `oci-archive:-` and `docker-archive:-`. Default: standard input. */
  readonly input?: AsyncIterable<Uint8Array> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ProgressSink | undefined;
}

const isHosts: Check = isEither(isBoolean, isListOf(isText, "hosts"));
const isCredentials: Check = isEither(
  isOneOf("anonymous"),
  isFunction,
  isRecord({ username: isText, password: isText, identityToken: isText, registryToken: isText }),
);

const REGISTRY_OPTIONS: Readonly<Record<keyof RegistryOptions, Check>> = {
  store: (value) => (value instanceof Store ? undefined : { expected: "a store of openStore()" }),
  platform: isText,
  credentials: isCredentials,
  plainHttp: isHosts,
  insecure: isHosts,
  ca: isEither(isText, isListOf(isText, "certificates (PEM)")),
  hostDirectories: isListOf(isText, "directories"),
  allowForeignLayers: isBoolean,
  keepBlobs: isBoolean,
  requireProof: isBoolean,
  parallelRanges: isRecord({ count: isWhole("requests", 2, 8), minBytes: isWhole("bytes") }),
  http2: isBoolean,
  retry: isRecord({ tries: isWhole("tries", 1), firstDelayMs: isWhole("ms"), maxDelayMs: isWhole("ms") }),
  profile: isText,
  userAgent: isText,
  verifyManifest: isFunction,
  // resolveLimits checks its keys and values
  limits: (value) => (typeof value === "object" && value !== null ? undefined : { expected: "an object" }),
};

const PULL_OPTIONS: Readonly<Record<keyof PullOptions, Check>> = {
  pullPolicy: isOneOf("if-missing", "always", "never"),
  force: isBoolean,
  buildIndex: isBoolean,
  materialize: isOneOf("eager", "lazy"),
  profile: isText,
  platform: isText,
  requireProof: isBoolean,
  durability: isOneOf("deferred", "barrier"),
  as: isText,
  input: isIterable,
  signal: isSignal,
  onProgress: isFunction,
};

/** Pulls images into a store, from registries, OCI layouts and archives. Connections and tokens are kept between pulls. */
export class Registry {
  readonly #options: RegistryOptions;
  readonly #limits: Limits;
  readonly #session: BootCore;
  readonly #activity: Activity;
  readonly #sources = new Map<Reference["transport"], Promise<Source>>();

  constructor(options: RegistryOptions) {
    checkOptions("Registry", options, REGISTRY_OPTIONS);
    if (options.profile !== undefined) parseProfile(options.profile);
    if (options.platform !== undefined) parsePlatform(options.platform);
    const { session, activity } = Store.internals(options.store);
    this.#options = options;
    this.#limits = resolveLimits(options.limits);
    this.#session = session;
    this.#activity = activity;
  }

  /** The store that images are pulled into. */
  get store(): Store {
    return this.#options.store;
  }

  /**
   * Makes an image's layers available as directories: from the store if the policy allows it, otherwise from where the reference points.
   * The image holds a lease until it is closed. Cancelling rejects with the signal's reason and leaves the store valid.
   * @throws REFERENCE_INVALID, NOT_CACHED, IMAGE_NOT_FOUND, BLOB_NOT_FOUND, PLATFORM_NOT_FOUND, MANIFEST_*, CONFIG_INVALID,
   * LAYER_*, TAR_*, DIGEST_MISMATCH, SIZE_MISMATCH, LIMIT_*, REGISTRY_*, CREDENTIAL_HELPER_FAILED, CONFIGURATION_INVALID,
   * SOURCE_INVALID, NO_SPACE, STORE_*, TypeError, RangeError
   */
  async pull(reference: string, options: PullOptions = {}): Promise<Image> {
    checkArgument("pull", "reference", reference, isText);
    checkOptions("pull", options, PULL_OPTIONS);
    const session = this.#session;
    const activity = this.#activity.pull(reference);
    const relay = new ProgressRelay(options.onProgress, activity.saw);
    try {
      options.signal?.throwIfAborted();
      const pulled = await session.run(options.signal, (signal) => this.#pull(reference, options, { relay, signal }));
      activity.succeeded(pulled);
      return Image.of(session, pulled, { force: options.force ?? false, relay });
    } catch (error) {
      const failure = ProgressRelay.describe(error);
      relay.send({ kind: "failed", ...failure });
      activity.failed(failure.code);
      throw error;
    }
  }

  async #pull(text: string, options: PullOptions, { relay, signal }: RunningPull): Promise<PulledImage> {
    const session = this.#session;
    const reference = parseReference(text);
    const as = options.as === undefined ? undefined : formatReference(parseReference(options.as));
    const platform = options.platform ?? this.#options.platform;
    const { verifyManifest, keepBlobs = false, requireProof } = this.#options;
    const source = new PullSource(reference, () => this.#openSource(reference, options.input));
    try {
      return await pullImage(session, {
        reference,
        name: as ?? (await nameOf(reference, source, signal)),
        platform: platform === undefined ? hostPlatform() : parsePlatform(platform),
        profile: parseProfile(options.profile ?? this.#options.profile ?? session.profile),
        policy: options.pullPolicy ?? "if-missing",
        force: options.force ?? false,
        buildIndex: options.buildIndex ?? true,
        eager: options.materialize !== "lazy",
        durability: options.durability ?? "deferred",
        keepBlobs,
        requireProof: [session.requireProof, requireProof, options.requireProof].includes(true),
        limits: this.#limits,
        verifyManifest,
        source: () => source.get(),
        relay,
        signal,
      });
    } finally {
      await source.close();
    }
  }

  /** Closes the connections; idempotent. Images stay usable. */
  async close(): Promise<void> {
    const sources = await Promise.all(this.#sources.values());
    this.#sources.clear();
    await Promise.all(sources.map((source) => source.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Loads the source on first use, so a cached pull loads no HTTP client. Each pull opens an archive anew. */
  #openSource(reference: Reference, input: PullOptions["input"]): Promise<Source> {
    if (reference.transport === "oci-archive" || reference.transport === "docker-archive") return this.#openArchive(reference, input);
    const known = this.#sources.get(reference.transport);
    if (known) return known;
    const opening = reference.transport === "docker" ? this.#openRegistry() : openLayout();
    this.#sources.set(reference.transport, opening);
    return opening;
  }

  async #openArchive(reference: ArchiveReference, input: PullOptions["input"]): Promise<Source> {
    const { ArchiveSource } = await import("../source/local/archive-source.ts");
    const { staging } = await this.#session.whole();
    const spool = (): string => staging.fresh("archive");
    return new ArchiveSource(reference, { spool, input: () => input ?? process.stdin, maxBytes: this.#limits.imageBytes });
  }

  async #openRegistry(): Promise<Source> {
    const { RegistrySource } = await import("../source/registry/registry-source.ts");
    return new RegistrySource(this.#options);
  }
}

interface RunningPull {
  readonly relay: ProgressRelay;
  readonly signal: AbortSignal;
}

/** The source of one pull, opened on first use. An archive is closed with it. */
class PullSource {
  readonly #transport: Reference["transport"];
  readonly #open: () => Promise<Source>;
  #source: Promise<Source> | undefined;

  constructor({ transport }: Reference, open: () => Promise<Source>) {
    this.#transport = transport;
    this.#open = open;
  }

  get(): Promise<Source> {
    return (this.#source ??= this.#open());
  }

  async close(): Promise<void> {
    if (this.#transport === "docker" || this.#transport === "oci") return;
    await (await this.#source)?.close();
  }
}

/** The image of an archive from standard input has the name that the archive gives it. */
async function nameOf(reference: Reference, source: PullSource, signal: AbortSignal): Promise<string> {
  const text = formatReference(reference);
  if (reference.transport === "docker" || reference.transport === "oci" || reference.file !== "-") return text;
  const { canonicalName } = await import("../source/local/docker-archive.ts");
  const asked = reference.transport === "docker-archive" && reference.tag !== undefined ? canonicalName(reference.tag) : undefined;
  const name = asked ?? (await ((await source.get()) as ArchiveSource).imageName(signal));
  if (name !== undefined) return name;
  const message = `the archive from standard input does not name its image; give a name with \`as\``;
  throw new ShaleError("REFERENCE_INVALID", message, { reference: text });
}

async function openLayout(): Promise<Source> {
  const { LayoutSource } = await import("../source/local/layout-source.ts");
  return new LayoutSource();
}
