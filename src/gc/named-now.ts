/** What references and image records name at this moment: a pull may have written its own since gc read them, and let its locks go. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { ImageRecord } from "../store/images.ts";
import type { GcContext } from "./context.ts";

/** A directory's time tells of a change only if the clock has gone on since the last one. */
const CLOCK_TICK_MS = 50;

export class NamedNow {
  readonly #context: GcContext;
  readonly #removed: readonly BlobDigest[];
  readonly #records: Reread<readonly ImageRecord[]>;
  readonly #references: Reread<ReadonlySet<BlobDigest>>;

  /** `removed` counts as gone though it is there, as in a dry run. */
  constructor(context: GcContext, removed: readonly BlobDigest[]) {
    const { images, layout, warn } = context;
    this.#context = context;
    this.#removed = removed;
    this.#records = new Reread(join(layout.images, "records"), () =>
      images
        .records()
        .map((digest) => images.record(digest, warn))
        .filter((record) => record !== undefined),
    );
    this.#references = new Reread(
      join(layout.images, "references"),
      () => new Set(images.references(warn).map(({ manifestDigest }) => manifestDigest)),
    );
  }

  /** Ask while holding the image's lease. */
  hasImage(digest: BlobDigest): boolean {
    const { leases, warn } = this.#context;
    return this.#references.value.has(digest) || leases.list(warn).some(({ manifestDigest }) => manifestDigest === digest);
  }

  /** Ask while holding the lock that a pull of the layer has until its image is recorded. */
  hasLayer(wanted: DiffId): boolean {
    return this.#some(({ layers }) => layers.some(({ diffId }) => diffId === wanted));
  }

  /** Ask while holding the tree's lock. */
  hasTree(wanted: string): boolean {
    return this.#some(({ trees }) => Object.values(trees).some((ids) => ids.includes(wanted)));
  }

  #some(names: (record: ImageRecord) => boolean): boolean {
    return this.#records.value.some((record) => !this.#removed.includes(record.manifestDigest) && names(record));
  }
}

/** Something that is read from a directory, again only when a name in it has changed. */
class Reread<T> {
  readonly #directory: string;
  readonly #read: () => T;
  #last: { readonly time: bigint; readonly value: T } | undefined;

  constructor(directory: string, read: () => T) {
    this.#directory = directory;
    this.#read = read;
  }

  get value(): T {
    const { mtimeNs, mtimeMs } = statSync(this.#directory, { bigint: true });
    if (this.#last?.time === mtimeNs) return this.#last.value;
    const isSettled = Math.abs(Date.now() - Number(mtimeMs)) > CLOCK_TICK_MS;
    const value = this.#read();
    this.#last = isSettled ? { time: mtimeNs, value } : undefined;
    return value;
  }
}
