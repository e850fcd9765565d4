/** A pulled image: what `pull` and `store.image` give. */
import { Readable } from "node:stream";
import { ShaleError } from "../errors.ts";
import type { ImageConfig } from "../image/config.ts";
import type { BlobDigest } from "../image/digest.ts";
import type { DematerializeResult } from "../gc/dematerialize.ts";
import type { Profile } from "../store/profile.ts";
import type { FileLock } from "../system/file-lock.ts";
import type { FileName, FileStat, ImageFiles, ReadRange } from "../view/image-files.ts";
import type { RootfsResult } from "../view/make-rootfs.ts";
import type { ExportImageOptions, ExportResult } from "./export-image.ts";
import type { MaterializeRootfsOptions } from "./materialize-rootfs.ts";
import { untilSettled } from "../pull/until-settled.ts";

export interface PullStats {
  /** Bytes of layer blobs fetched by this pull. */
  readonly downloadedBytes: number;
  /** Bytes of layer blobs that were here already, from downloads that were cut off or kept. */
  readonly resumedBytes: number;
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
  readonly dematerialize: (signal: AbortSignal | undefined) => Promise<DematerializeResult>;
  /** What the layers hold, for reading without trees. */
  readonly openFiles: () => Promise<ImageFiles>;
  readonly readDocument: (kind: "manifest" | "config") => Promise<Buffer>;
  readonly makeRootfs: RootfsMaker;
  readonly exportTo: Exporter;
}

type RootfsMaker = (destination: string, options: MaterializeRootfsOptions) => Promise<RootfsResult>;

type Exporter = (destination: string, options: ExportImageOptions) => Promise<ExportResult>;

const makers: WeakMap<Image, Pick<ImageInit, "makeRootfs" | "exportTo">> = new WeakMap();

/** For the other files of this folder. */
export function rootfsMaker(image: Image): RootfsMaker {
  return makersOf(image).makeRootfs;
}

/** For the other files of this folder. */
export function exporterOf(image: Image): Exporter {
  return makersOf(image).exportTo;
}

function makersOf(image: Image): Pick<ImageInit, "makeRootfs" | "exportTo"> {
  const found = makers.get(image);
  if (!found) throw new TypeError("not an image of a store opened by this copy of shale");
  return found;
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
  readonly #drop: ImageInit["dematerialize"];
  readonly #openFiles: ImageInit["openFiles"];
  readonly #readDocument: ImageInit["readDocument"];
  #made: Promise<void> | undefined;
  #files: Promise<ImageFiles> | undefined;
  #closed = false;

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
    this.#drop = init.dematerialize;
    this.#openFiles = init.openFiles;
    this.#readDocument = init.readDocument;
    makers.set(this, init);
  }

  /** Makes the layer directories that are not there yet; idempotent. A failed or cancelled attempt can be repeated. */
  async materialize(options: MaterializeImageOptions = {}): Promise<void> {
    const { signal } = options;
    // another call's failure, or its signal, is not this one's
    for (let other = this.#made; other !== undefined; other = this.#made) {
      await untilSettled(other, signal);
      if (this.#made === other) return;
    }
    const made = this.#make(signal).catch((error: unknown) => {
      if (this.#made === made) this.#made = undefined;
      throw error;
    });
    return (this.#made = made);
  }

  /**
   * Drops this image's trees; what is in the layers stays, and can be read and materialized again. A tree that something else uses
   * (another handle, a lease by name, a mount, a pull) is left, and told. A child that was given `leaseFd` does not count.
   * @throws STORE_CLOSED
   */
  async dematerialize(options: MaterializeImageOptions = {}): Promise<DematerializeResult> {
    if (this.#closed) throw closedError();
    await this.#made?.catch(() => undefined);
    this.#made = undefined;
    return this.#drop(options.signal);
  }

  /** The manifest as the registry gave it, byte for byte; its digest is `manifestDigest`. @throws STORE_DAMAGED, STORE_CLOSED */
  async readManifest(): Promise<Buffer> {
    if (this.#closed) throw closedError();
    return this.#readDocument("manifest");
  }

  /** The image config as the registry gave it, byte for byte: what `config` was parsed from. @throws STORE_DAMAGED, STORE_CLOSED */
  async readConfig(): Promise<Buffer> {
    if (this.#closed) throw closedError();
    return this.#readDocument("config");
  }

  /** Descriptor of the lease: handed to a child process (stdio), it keeps the image until the last holder exits. -1 when closed. */
  get leaseFd(): number {
    return this.#lease.fd;
  }

  /**
   * What the image says of a path in its merged view: the layers stacked, deletions applied. Symlinks are followed inside the image.
   * A path is text (UTF-8) or bytes; a relative one begins at the image's root. Reads need no trees.
   * @throws PATH_NOT_FOUND, PATH_WRONG_KIND, PATH_LOOP, SIDECAR_INVALID, STORE_CLOSED (all methods that take a path)
   */
  async stat(path: string | Uint8Array): Promise<FileStat> {
    return (await this.#open()).stat(path, { follow: true });
  }

  /** The same of a symlink itself. */
  async lstat(path: string | Uint8Array): Promise<FileStat> {
    return (await this.#open()).stat(path, { follow: false });
  }

  /** What is in a directory, sorted by the bytes of the names. */
  async readdir(path: string | Uint8Array): Promise<FileName[]> {
    return (await this.#open()).readdir(path);
  }

  /** Target of a symlink, as it is in the image. */
  async readlink(path: string | Uint8Array): Promise<Buffer> {
    return (await this.#open()).readlink(path);
  }

  /** The same path without symlinks, `.` and `..`; absolute. */
  async realpath(path: string | Uint8Array): Promise<Buffer> {
    return (await this.#open()).realpath(path);
  }

  /** @throws STORE_DAMAGED when the content is missing; its bytes are not hashed */
  async readFile(path: string | Uint8Array, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Buffer> {
    options.signal?.throwIfAborted();
    return (await this.#open()).readFile(path, options.signal);
  }

  /** Bytes `start` to `end`, both included, of a file. Failures are emitted as `error`. */
  createReadStream(path: string | Uint8Array, range: ReadRange = {}): Readable {
    const pieces = async function* (open: Promise<ImageFiles>): AsyncGenerator<Buffer> {
      yield* ((await open).openStream(path, range) ?? []) as AsyncIterable<Buffer>;
    };
    return Readable.from(pieces(this.#open()), { objectMode: false });
  }

  /** Releases the lease and what is open of the sidecars; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#lease.release();
    const files = this.#files;
    this.#files = undefined;
    (await files?.catch(() => undefined))?.close();
  }

  async #open(): Promise<ImageFiles> {
    if (this.#closed) throw closedError();
    this.#files ??= this.#openFiles().catch((error: unknown) => {
      this.#files = undefined;
      throw error;
    });
    return this.#files;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function closedError(): ShaleError<"STORE_CLOSED"> {
  return new ShaleError("STORE_CLOSED", "the image was closed; get it again from its store", { path: "" });
}
