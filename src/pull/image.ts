/** A pulled image: what `pull` and `store.image` give. */
import type { ImageConfig } from "../image/config.ts";
import type { BlobDigest } from "../image/digest.ts";
import type { Profile } from "../store/profile.ts";
import type { FileLock } from "../system/file-lock.ts";

export interface PullStats {
  /** Bytes of layer blobs fetched by this pull. */
  readonly downloadedBytes: number;
  /** Layers that this pull ingested. */
  readonly ingestedLayers: number;
  /** Files written to the store while this pull ran, by this handle, and their bytes; the rest was there already. */
  readonly newChunks: number;
  readonly newChunkBytes: number;
  readonly milliseconds: number;
}

export interface ImageInit {
  readonly reference: string;
  readonly manifestDigest: BlobDigest;
  readonly config: ImageConfig;
  readonly profile: Profile;
  readonly layers: readonly string[];
  readonly cached: boolean;
  readonly stats: PullStats;
  readonly lease: FileLock;
  readonly materialize: (signal: AbortSignal | undefined) => Promise<void>;
}

export interface MaterializeImageOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * An image whose layers are in the store. It holds a lease: until it is closed (or its process dies) nothing of the image is
 * removed. Its trees are read-only by contract: they share inodes with other images; mount them read-only, or copy.
 */
export class Image {
  /** Canonical text of the reference that was asked for. */
  readonly reference: string;
  /** Of the manifest that was chosen for the platform. */
  readonly manifestDigest: BlobDigest;
  readonly config: ImageConfig;
  readonly profile: Profile;
  /** Absolute paths of the layer directories, bottom to top. After a lazy pull they are there once `materialize` has resolved. */
  readonly layers: readonly string[];
  /** True when no layer or config blob was fetched. */
  readonly cached: boolean;
  readonly stats: PullStats;
  readonly #lease: FileLock;
  readonly #make: ImageInit["materialize"];
  #made: Promise<void> | undefined;

  constructor(init: ImageInit) {
    this.reference = init.reference;
    this.manifestDigest = init.manifestDigest;
    this.config = init.config;
    this.profile = init.profile;
    this.layers = init.layers;
    this.cached = init.cached;
    this.stats = init.stats;
    this.#lease = init.lease;
    this.#make = init.materialize;
  }

  /** Makes the layer directories that are not there yet; idempotent. A failed or cancelled attempt can be repeated. */
  async materialize(options: MaterializeImageOptions = {}): Promise<void> {
    this.#made ??= this.#make(options.signal).catch((error: unknown) => {
      this.#made = undefined;
      throw error;
    });
    return this.#made;
  }

  /** Descriptor of the lease: handed to a child process (stdio), it keeps the image until the last holder exits. -1 when closed. */
  get leaseFd(): number {
    return this.#lease.fd;
  }

  /** Releases the lease; idempotent. */
  async close(): Promise<void> {
    this.#lease.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
