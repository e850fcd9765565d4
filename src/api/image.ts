/** A pulled image: what `Registry.pull` and `Store.image` return. */
import { Readable } from "node:stream";
import { ShaleError } from "../errors.ts";
import type { DematerializeResult } from "../gc/dematerialize.ts";
import type { ImageConfig } from "../image/config.ts";
import type { BlobDigest } from "../image/digest.ts";
import { Holds } from "../pull/holds.ts";
import { materializeImage } from "../pull/materialize-image.ts";
import { ProgressRelay } from "../pull/progress-relay.ts";
import type { ProgressSink } from "../pull/progress.ts";
import type { PulledImage, PullStats } from "../pull/pull-request.ts";
import { untilSettled } from "../pull/until-settled.ts";
import type { BootCore } from "../session/boot-core.ts";
import type { Profile } from "../store/profile.ts";
import type { FileName, FileStat, ImageFiles, ReadRange } from "../view/image-files.ts";
import { checkOptions, isFunction, isSignal } from "./check-options.ts";

export interface SignalOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface MaterializeImageOptions extends SignalOptions {
  /** Gets the tree events; default: the `onProgress` of the pull. */
  readonly onProgress?: ProgressSink | undefined;
}

/** Of the pull that returned the image; they apply to a later `materialize` too. */
interface MaterializeTerms {
  /** Check existing trees against their layers. */
  readonly force: boolean;
  readonly relay: ProgressRelay;
}

/**
 * An image whose layers are in the store. It holds a lease: until it is closed, or its process ends, gc removes nothing of the image.
 * Its trees are read-only by contract, since their files share inodes with other images: mount them read-only, or copy.
 */
export class Image {
  /** The canonical reference that the image was pulled by. */
  readonly reference: string;
  /** Of the manifest that was chosen for the platform. */
  readonly manifestDigest: BlobDigest;
  readonly config: ImageConfig;
  readonly profile: Profile;
  /** Absolute paths of the layer directories, bottom to top. After a lazy pull they exist once `materialize` has resolved. */
  readonly layers: readonly string[];
  /** True if no layer or config blob was fetched. */
  readonly cached: boolean;
  readonly stats: PullStats;
  readonly #session: BootCore;
  readonly #pulled: PulledImage;
  readonly #materializing: MaterializeTerms;
  #made: Promise<void> | undefined;
  #files: Promise<ImageFiles> | undefined;
  #closed = false;

  private constructor(session: BootCore, pulled: PulledImage, materializing: MaterializeTerms) {
    this.reference = pulled.name;
    this.manifestDigest = pulled.record.manifestDigest;
    this.config = pulled.record.config;
    this.profile = pulled.profile;
    this.layers = pulled.trees.map(({ treeId }) => session.layout.tree(treeId));
    this.cached = pulled.cached;
    this.stats = pulled.stats;
    this.#session = session;
    this.#pulled = pulled;
    this.#materializing = materializing;
  }

  /** Takes over the lease. @internal */
  static of(session: BootCore, pulled: PulledImage, materializing: MaterializeTerms): Image {
    return new Image(session, pulled, materializing);
  }

  /** For the other files of this folder. @internal */
  static internals(image: Image): { readonly session: BootCore; readonly pulled: PulledImage } {
    if (!(#session in image)) throw new TypeError("not an image of a store opened by this copy of shale");
    return { session: image.#session, pulled: image.#pulled };
  }

  /**
   * Creates the layer directories that are missing. Idempotent; a failed or cancelled attempt can be repeated. A call that waits for
   * another one reports no progress.
   */
  async materialize(options: MaterializeImageOptions = {}): Promise<void> {
    checkOptions("materialize", options, { signal: isSignal, onProgress: isFunction });
    const { signal, onProgress } = options;
    // the failure or the signal of another call does not end this one
    for (let other = this.#made; other !== undefined; other = this.#made) {
      await untilSettled(other, signal);
      if (this.#made === other) return;
    }
    const made = this.#materialize(signal, onProgress).catch((error: unknown) => {
      if (this.#made === made) this.#made = undefined;
      throw error;
    });
    return (this.#made = made);
  }

  #materialize(signal: AbortSignal | undefined, onProgress: ProgressSink | undefined): Promise<void> {
    const { record, trees, profile } = this.#pulled;
    const { force, relay } = this.#materializing;
    const progress = onProgress === undefined ? relay : new ProgressRelay(onProgress);
    return this.#session.run(signal, async (own) => {
      using holds = new Holds();
      const diffIds = record.layers.map(({ diffId }) => diffId);
      await materializeImage(this.#session, { force, relay: progress, diffIds, trees, profile, holds, signal: own });
    });
  }

  /**
   * Removes the trees of this image; its layers stay, and can be read and materialized again. Keeps and reports a tree that is in use:
   * by another handle, a named lease, a mount or a pull. A child process that was given `leaseFd` does not count.
   * @throws STORE_CLOSED
   */
  async dematerialize(options: SignalOptions = {}): Promise<DematerializeResult> {
    this.#requireOpen();
    await this.#made?.catch(() => undefined);
    this.#made = undefined;
    const { record, trees, lease } = this.#pulled;
    return this.#session.run(options.signal, async (signal) => {
      const { dematerializeOwn } = await import("../gc/dematerialize.ts");
      const own = { lease, manifestDigest: record.manifestDigest };
      return dematerializeOwn(await this.#session.whole(), { own, only: new Set(trees.map(({ treeId }) => treeId)) }, signal);
    });
  }

  /** The manifest as the registry sent it, byte for byte; its digest is `manifestDigest`. @throws STORE_DAMAGED, STORE_CLOSED */
  readManifest(): Promise<Buffer> {
    return this.#readDocument("manifest", this.#pulled.record.manifestDigest);
  }

  /** The image config as the registry sent it, byte for byte; `config` is parsed from it. @throws STORE_DAMAGED, STORE_CLOSED */
  readConfig(): Promise<Buffer> {
    return this.#readDocument("config", this.#pulled.record.configDigest);
  }

  async #readDocument(kind: "manifest" | "config", digest: BlobDigest): Promise<Buffer> {
    this.#requireOpen();
    return this.#session.run(undefined, async () => {
      const { readVerified } = await import("../store/verified-document.ts");
      return readVerified(this.#session, kind, digest);
    });
  }

  /** File descriptor of the lease. In the stdio of a child process it keeps the image until the last holder exits. -1 once closed. */
  get leaseFd(): number {
    return this.#pulled.lease.fd;
  }

  /**
   * Status of a path in the merged view: the layers stacked, deletions applied. Follows symlinks within the image.
   * A path is text (UTF-8) or bytes; a relative path starts at the image's root. Needs no trees.
   * @throws PATH_NOT_FOUND, PATH_WRONG_KIND, PATH_LOOP, SIDECAR_INVALID, STORE_CLOSED (all methods that take a path)
   */
  stat(path: string | Uint8Array): Promise<FileStat> {
    return this.#read((files) => files.stat(path, { follow: true }));
  }

  /** The same, of a symlink itself. */
  lstat(path: string | Uint8Array): Promise<FileStat> {
    return this.#read((files) => files.stat(path, { follow: false }));
  }

  /** The entries of a directory, sorted by the bytes of their names. */
  readdir(path: string | Uint8Array): Promise<FileName[]> {
    return this.#read((files) => files.readdir(path));
  }

  /** Target of a symlink, as the image has it. */
  readlink(path: string | Uint8Array): Promise<Buffer> {
    return this.#read((files) => files.readlink(path));
  }

  /** The absolute path without symlinks, `.` and `..`. */
  realpath(path: string | Uint8Array): Promise<Buffer> {
    return this.#read((files) => files.realpath(path));
  }

  /** @throws STORE_DAMAGED if the content is missing; its bytes are not hashed */
  readFile(path: string | Uint8Array, options: SignalOptions = {}): Promise<Buffer> {
    return this.#read((files, signal) => files.readFile(path, signal), options.signal);
  }

  /** Bytes `start` to `end` of a file, both included. Failures are emitted as `error`. */
  createReadStream(path: string | Uint8Array, range: ReadRange = {}): Readable {
    const open = async (): Promise<AsyncIterable<Buffer> | undefined> => (await this.#openFiles()).openStream(path, range);
    return Readable.from(this.#session.stream(undefined, open), { objectMode: false });
  }

  /** Releases the lease and closes the sidecars; idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#pulled.lease.release();
    const files = this.#files;
    this.#files = undefined;
    (await files?.catch(() => undefined))?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #read<T>(read: (files: ImageFiles, signal: AbortSignal) => T | Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#session.run(signal, async (own) => {
      own.throwIfAborted();
      return read(await this.#openFiles(), own);
    });
  }

  async #openFiles(): Promise<ImageFiles> {
    this.#requireOpen();
    this.#files ??= this.#loadFiles().catch((error: unknown) => {
      this.#files = undefined;
      throw error;
    });
    return this.#files;
  }

  async #loadFiles(): Promise<ImageFiles> {
    const { openImageFiles } = await import("./open-image-files.ts");
    return openImageFiles(
      await this.#session.whole(),
      this.#pulled.record.layers.map(({ diffId }) => diffId),
    );
  }

  #requireOpen(): void {
    if (this.#closed) throw new ShaleError("STORE_CLOSED", "the image is closed; pull it again or ask the store for it", { path: "" });
  }
}
