/** What images use, counted: so that removing one costs what it has, not what the store has. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseBlobDigest, type BlobDigest, type DiffId } from "../image/digest.ts";
import { treesOf, type ImageRecord } from "../store/images.ts";
import type { GcContext } from "../inspect/store-parts.ts";

export interface Unused {
  readonly layers: readonly DiffId[];
  readonly trees: readonly string[];
  readonly blobs: readonly BlobDigest[];
}

export class Users {
  readonly #context: GcContext;
  readonly #records = new Map<string, { readonly version: string; readonly record: ImageRecord | undefined }>();
  readonly #counts = new Map<string, number>();
  /** Of the records' directory, when it was last looked through. */
  #seen = "";

  /** Reads every record itself: what was read a moment ago may have been written anew since. */
  constructor(context: GcContext) {
    this.#context = context;
    this.refresh();
  }

  has(id: DiffId | BlobDigest | string): boolean {
    return this.#counts.has(id);
  }

  /** Records that other processes have written meanwhile count too. Call under the lock that they hold until their record is there. */
  refresh(): void {
    const directory = join(this.#context.layout.images, "records");
    const changed = directoryVersion(directory);
    if (changed !== undefined && changed === this.#seen) return;
    for (const name of readdirSync(directory)) {
      // before the reading: what is written meanwhile has another
      const version = fileVersion(join(directory, name));
      const digest = name.replace("-", ":");
      const known = this.#records.get(digest);
      if (version === undefined || known?.version === version) continue;
      const record = this.#context.images.record(parseBlobDigest(digest), this.#context.warn);
      if (known?.record) this.#count(known.record, -1);
      if (record) this.#count(record, 1);
      this.#records.set(digest, { version, record });
    }
    this.#seen = changed ?? "";
  }

  /** An image goes: what nothing else uses then. Its record need not be gone yet (in a dry run it stays). */
  drop(digest: BlobDigest): Unused {
    const known = this.#records.get(digest);
    if (!known?.record) return { layers: [], trees: [], blobs: [] };
    const { record } = known;
    this.#count(record, -1);
    this.#records.set(digest, { ...known, record: undefined });
    const unused = <T extends string>(ids: readonly T[]): T[] => [...new Set(ids)].filter((id) => !this.#counts.has(id));
    return {
      layers: unused(record.layers.map(({ diffId }) => diffId)),
      trees: unused(treesOf(record)),
      blobs: unused(record.layers.map(({ digest }) => digest)),
    };
  }

  #count(record: ImageRecord, step: 1 | -1): void {
    const { configDigest, layers } = record;
    const ids = [configDigest, ...treesOf(record), ...layers.flatMap(({ diffId, digest }) => [diffId, digest])];
    for (const id of ids) {
      const count = (this.#counts.get(id) ?? 0) + step;
      if (count > 0) this.#counts.set(id, count);
      else this.#counts.delete(id);
    }
  }
}

/** A time stamp is as coarse as the kernel's tick: one of this moment may hide what comes next. */
const TICK_MS = 50;

function directoryVersion(path: string): string | undefined {
  const { mtimeMs } = statSync(path);
  return Math.abs(Date.now() - mtimeMs) < TICK_MS ? undefined : String(mtimeMs);
}

/** Each writing makes a new file; a number alone may be that of one just removed. */
function fileVersion(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.ino} ${stat.ctimeMs}`;
}
