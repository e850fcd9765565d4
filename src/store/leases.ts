/**
 * What keeps an image although no reference may: leases. A lease is a shared lock on the image's lease file, held by whoever uses
 * it and freed by the kernel when they die; or a name written down, for users that outlive the process that pulled. The lease
 * file's modification time is when the image was last used.
 */
import { isErrno } from "../errors.ts";
import { parseBlobDigest, type BlobDigest } from "../image/digest.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import { sha256 } from "../system/sha256.ts";
import { readChecked, writeChecked } from "./checked-file.ts";
import { base32 } from "./ids.ts";
import type { Warn } from "./images.ts";
import type { StoreLayout } from "./layout.ts";

const { futimesSync, mkdirSync, rmSync, statSync, utimesSync } = process.getBuiltinModule("node:fs");

/** A lease by name: it holds until it is released or, if it has an end, until then (ms since 1970). */
export interface NamedLease {
  readonly name: string;
  readonly manifestDigest: BlobDigest;
  readonly expires?: number;
}

export class Leases {
  readonly #layout: StoreLayout;

  constructor(layout: StoreLayout) {
    this.#layout = layout;
  }

  /** A lease that lives as long as its handle; undefined while the image is being removed. Never waits. */
  take(manifestDigest: BlobDigest): FileLock | undefined {
    return touched(FileLock.tryUnchecked(this.#layout.lease(manifestDigest), "shared"));
  }

  /** The same, waiting for a removal to end. */
  async takeSoon(manifestDigest: BlobDigest, signal?: AbortSignal): Promise<FileLock> {
    return touched(await FileLock.acquire(this.#layout.lease(manifestDigest), { mode: "shared", signal }));
  }

  /** For removal: the lock that nobody else may hold; undefined when the image is in use. */
  claim(manifestDigest: BlobDigest): FileLock | undefined {
    return FileLock.try(this.#layout.lease(manifestDigest), "exclusive");
  }

  /** When the image was last used: ms since 1970, 0 if never. */
  lastUse(manifestDigest: BlobDigest): number {
    return statSync(this.#layout.lease(manifestDigest), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  /**
   * Says again that the image is in use now. For whoever has just written down something that keeps it, and holds its lease: a gc
   * that looked before finds another time when it comes to remove the image, and leaves it.
   */
  touch(manifestDigest: BlobDigest): void {
    utimesSync(this.#layout.lease(manifestDigest), Date.now() / 1000, Date.now() / 1000);
  }

  /** Writes a name down, durably; one that is there is replaced. */
  write(lease: NamedLease): void {
    mkdirSync(this.#layout.leases, { recursive: true, mode: 0o700 });
    writeChecked(this.#file(lease.name), lease, this.#layout.staging);
  }

  /** False when there was no such lease. */
  release(name: string): boolean {
    try {
      rmSync(this.#file(name));
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  /** Named leases that hold now, in no order; those past their end are removed. */
  list(warn: Warn, now: number = Date.now()): NamedLease[] {
    const leases = namesIn(this.#layout.leases).map((name) => readChecked(this.#layout.namedLease(name), warn) as NamedLease | undefined);
    return leases.filter((lease): lease is NamedLease => {
      if (!lease) return false;
      parseBlobDigest(lease.manifestDigest);
      if (lease.expires === undefined || lease.expires > now) return true;
      this.release(lease.name);
      return false;
    });
  }

  #file(name: string): string {
    return this.#layout.namedLease(base32(sha256(name)).slice(0, 32));
  }
}

function touched<T extends FileLock | undefined>(lease: T): T {
  if (lease) futimesSync(lease.fd, Date.now() / 1000, Date.now() / 1000);
  return lease;
}
