/** Counts how many images use each object, so that the cost of removing an image depends on the image and not on the store. */
import { readdirSync, statSync } from "node:fs";
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { GcParts } from "./gc-parts.ts";
import type { TreeId } from "../store/ids.ts";
import { treesOf, type ImageRecord } from "../store/images.ts";
import { parseDigestName } from "../store/layout.ts";

export interface Unused {
  readonly layers: readonly DiffId[];
  readonly trees: readonly TreeId[];
  readonly blobs: readonly BlobDigest[];
}

export class UseCounts {
  readonly #parts: GcParts;
  readonly #records = new Map<string, { readonly version: string; readonly record: ImageRecord | undefined }>();
  readonly #counts = new Map<string, number>();
  /** The version of the records' directory when `refresh` last read it. */
  #seen = "";

  /** Reads every record itself: a record that the caller has read may have been replaced since. */
  constructor(parts: GcParts) {
    this.#parts = parts;
    this.refresh();
  }

  has(id: DiffId | BlobDigest | TreeId): boolean {
    return this.#counts.has(id);
  }

  /** Counts records that other processes have written since. Call it under the lock that those processes hold until their record exists. */
  refresh(): void {
    const directory = this.#parts.layout.records;
    const changed = directoryVersion(directory);
    if (changed !== undefined && changed === this.#seen) return;
    for (const name of readdirSync(directory)) {
      const digest = parseDigestName(name);
      if (digest === undefined) continue;
      // taken before the record is read: a later write gives another version
      const version = fileVersion(this.#parts.layout.imageRecord(digest));
      const known = this.#records.get(digest);
      if (version === undefined || known?.version === version) continue;
      const record = this.#parts.images.record(digest);
      if (known?.record) this.#count(known.record, -1);
      if (record) this.#count(record, 1);
      this.#records.set(digest, { version, record });
    }
    this.#seen = changed ?? "";
  }

  /** Uncounts an image and returns the objects that no other image uses. Its record may still exist: a dry run keeps it. */
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

/** Time stamps have the resolution of the kernel's clock tick: a time stamp this young may hide a later change. */
const TICK_MS = 50;

function directoryVersion(path: string): string | undefined {
  const { mtimeMs } = statSync(path);
  return Math.abs(Date.now() - mtimeMs) < TICK_MS ? undefined : String(mtimeMs);
}

/** Every write makes a new file. The inode number alone is not enough: a removed file's number may be used again. */
function fileVersion(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat && `${stat.ino} ${stat.ctimeMs}`;
}
