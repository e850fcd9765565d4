/**
 * Leases keep an image from gc, even without a reference. A lease is a shared lock on the image's lease file, which the kernel releases when
 * the holder dies; or a named lease, a file, for users that outlive the process that pulled. The mtime of the lease file is the time of
 * the last use. See format/store.md, "Leases".
 */
import { isErrno, type Warn } from "../errors.ts";
import { parseBlobDigest, type BlobDigest } from "../image/digest.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import { sha256 } from "../system/sha256.ts";
import { readChecked, writeChecked } from "./checked-file.ts";
import { base32 } from "./ids.ts";
import type { StoreLayout } from "./layout.ts";

const { futimesSync, mkdirSync, rmSync, statSync, utimesSync } = process.getBuiltinModule("node:fs");

/** Holds until it is released or until `expires` (ms since 1970). */
export interface NamedLease {
  readonly name: string;
  readonly manifestDigest: BlobDigest;
  readonly expires?: number;
}

export class Leases {
  readonly #layout: StoreLayout;
  readonly #warn: Warn;

  /** Damaged files are reported to `warn`, and count as missing. */
  constructor(layout: StoreLayout, warn: Warn) {
    this.#layout = layout;
    this.#warn = warn;
  }

  /** Takes a lease that holds until the lock is released. Returns undefined while the image is being removed. Never waits. */
  take(manifestDigest: BlobDigest): FileLock | undefined {
    return touched(FileLock.tryUnchecked(this.#layout.lease(manifestDigest), "shared"));
  }

  /** Takes a lease; waits while the image is being removed. */
  async takeSoon(manifestDigest: BlobDigest, signal?: AbortSignal): Promise<FileLock> {
    return touched(await FileLock.acquire(this.#layout.lease(manifestDigest), { mode: "shared", signal }));
  }

  /** Takes the lease exclusively, for removal. Returns undefined if the image is in use. */
  claim(manifestDigest: BlobDigest): FileLock | undefined {
    return FileLock.try(this.#layout.lease(manifestDigest), "exclusive");
  }

  /** Returns the time of the last use in ms since 1970; 0 if the image was never used. */
  lastUse(manifestDigest: BlobDigest): number {
    return statSync(this.#layout.lease(manifestDigest), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  /**
   * Sets the time of the last use to now. Call it after writing something that keeps the image, while holding its lease: a gc that examined
   * the image before then sees another time and keeps the image.
   */
  touch(manifestDigest: BlobDigest): void {
    utimesSync(this.#layout.lease(manifestDigest), Date.now() / 1000, Date.now() / 1000);
  }

  /** Writes a named lease durably. Replaces one of the same name. */
  write(lease: NamedLease): void {
    mkdirSync(this.#layout.leases, { recursive: true, mode: 0o700 });
    writeChecked(this.#file(lease.name), lease, this.#layout.staging);
  }

  /** Returns false if there is no lease of this name. */
  release(name: string): boolean {
    try {
      rmSync(this.#file(name));
      return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
  }

  /** Returns the named leases that hold now, unsorted. Removes expired ones. */
  list(now: number = Date.now()): NamedLease[] {
    const leases = namesIn(this.#layout.leases).map(
      (name) => readChecked(this.#layout.namedLease(name), this.#warn) as NamedLease | undefined,
    );
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
