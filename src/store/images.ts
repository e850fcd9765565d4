/**
 * Images and the names they were pulled by: manifests and configs by digest, an image record for each manifest (all that the
 * cached path needs), and references, small files that point to a record. Each is written durably and carries a checksum: a
 * damaged one is a miss with a warning, never a wrong answer.
 */
import { parseBlobDigest, parseDiffId, type BlobDigest, type DiffId } from "../image/digest.ts";
import type { ImageConfig } from "../image/config.ts";
import { durableWrite } from "../system/durable-write.ts";
import { readIfExists } from "../system/existing-file.ts";
import { sha256 } from "../system/sha256.ts";
import { CheckedFiles, readChecked, writeChecked } from "./checked-file.ts";
import { base32, type TreeId } from "./ids.ts";
import { parseDigestName, type StoreLayout } from "./layout.ts";
import type { Profile } from "./profile.ts";

const { readdirSync, rmSync } = process.getBuiltinModule("node:fs");

export interface ImageLayer {
  readonly diffId: DiffId;
  readonly digest: BlobDigest;
  readonly mediaType: string;
  /** Bytes of the blob. */
  readonly size: number;
}

export interface ImageRecord {
  readonly manifestDigest: BlobDigest;
  readonly configDigest: BlobDigest;
  readonly config: ImageConfig;
  /** Bottom to top. */
  readonly layers: readonly ImageLayer[];
  /** Of the boot in which this was written, when every layer was known to be good. */
  readonly bootId: string;
  /** Whether every layer's sidecar holds the path index. */
  readonly indexed: boolean;
  /** Tree ids, bottom to top, of each profile that the image was composed in: trees that were made or compared in that boot, or are not made yet. */
  readonly trees: TreeLists;
  /** The same of profiles whose trees an earlier boot made: they are compared before they are used. */
  readonly unchecked?: TreeLists;
}

export type TreeLists = Readonly<Partial<Record<Profile, readonly TreeId[]>>>;

export interface RecordedTrees {
  readonly bootId: string;
  readonly profile: Profile;
  readonly ids: readonly TreeId[];
  /** False when one may be there that nobody has looked at in this boot. */
  readonly checked: boolean;
}

/** What a record says of trees when those of one profile come to what it said before. */
export function withTrees(
  before: Pick<ImageRecord, "bootId" | "trees" | "unchecked"> | undefined,
  { bootId, profile, ids, checked }: RecordedTrees,
): { trees: TreeLists; unchecked: TreeLists } {
  const isOfNow = before?.bootId === bootId;
  const { [profile]: _known, ...trees } = isOfNow ? before.trees : {};
  const { [profile]: _old, ...unchecked } = { ...before?.unchecked, ...(!isOfNow && before?.trees) };
  const list = { [profile]: ids };
  return checked ? { trees: { ...trees, ...list }, unchecked } : { trees, unchecked: { ...unchecked, ...list } };
}

/** The trees of every profile. */
export function treesOf({ trees, unchecked = {} }: Pick<ImageRecord, "trees" | "unchecked">): TreeId[] {
  return [...Object.values(trees), ...Object.values(unchecked)].flat();
}

export interface ReferenceRecord {
  /** Canonical text. */
  readonly reference: string;
  /** The platform asked for, as os/architecture[/variant]. */
  readonly platform: string;
  readonly manifestDigest: BlobDigest;
  /** Of the document that the reference named, where that is an image index. */
  readonly namedDigest?: BlobDigest;
}

/** What the registry would have to name for the reference to be unchanged. */
export function namedDigest(record: ReferenceRecord): BlobDigest {
  return record.namedDigest ?? record.manifestDigest;
}

export type Warn = (code: string, message: string) => void;

export class Images {
  readonly #layout: StoreLayout;
  readonly #files = new CheckedFiles();

  constructor(layout: StoreLayout) {
    this.#layout = layout;
  }

  /** Where a reference pointed when it was last pulled. Take the image's lease before reading its record: gc removes both under it. */
  resolve(reference: string, platform: string, warn: Warn): BlobDigest | undefined {
    const found = this.reference(reference, platform, warn);
    return found && parseBlobDigest(found.manifestDigest);
  }

  /** The image that somebody pulled for this platform by a name that led to this digest, of a manifest or an image index. */
  resolvePinned(digest: BlobDigest, platform: string, warn: Warn): BlobDigest | undefined {
    const leads = (record: ReferenceRecord): boolean => record.manifestDigest === digest || record.namedDigest === digest;
    const found = this.references(warn).find((record) => record.platform === platform && leads(record));
    return found && parseBlobDigest(found.manifestDigest);
  }

  reference(reference: string, platform: string, warn: Warn): ReferenceRecord | undefined {
    const path = this.#layout.reference(referenceKey(reference, platform));
    const found = this.#files.read(path, warn) as ReferenceRecord | undefined;
    return found?.reference === reference && found.platform === platform ? found : undefined;
  }

  record(manifestDigest: BlobDigest, warn: Warn): ImageRecord | undefined {
    const record = this.#files.read(this.#layout.imageRecord(parseBlobDigest(manifestDigest)), warn) as ImageRecord | undefined;
    if (record?.manifestDigest !== manifestDigest) return undefined;
    for (const { diffId, digest } of record.layers) {
      parseDiffId(diffId);
      parseBlobDigest(digest);
    }
    // as parseConfig gives it: a label may be named like what every object inherits
    const labels = Object.assign(Object.create(null) as Record<string, string>, record.config.labels);
    return { ...record, config: { ...record.config, labels } };
  }

  writeRecord(record: ImageRecord): void {
    writeChecked(this.#layout.imageRecord(record.manifestDigest), record, this.#layout.staging);
  }

  writeReference(record: ReferenceRecord): void {
    writeChecked(this.#layout.reference(referenceKey(record.reference, record.platform)), record, this.#layout.staging);
  }

  /** Every intact reference, in no order. */
  references(warn: Warn): ReferenceRecord[] {
    const names = readdirSync(this.#layout.references);
    return names
      .map((name) => readChecked(this.#layout.reference(name), warn) as ReferenceRecord | undefined)
      .filter((found) => found !== undefined);
  }

  /** The manifest digests of every record, in no order. */
  records(): BlobDigest[] {
    return readdirSync(this.#layout.records)
      .map((name) => parseDigestName(name))
      .filter((digest) => digest !== undefined);
  }

  /** Takes an image out of sight: its references, then its record, then its documents unless another image has the config too. */
  remove(record: ImageRecord, references: readonly ReferenceRecord[], keepConfig: boolean): void {
    for (const { reference, platform } of references) this.removeReference(reference, platform);
    rmSync(this.#layout.imageRecord(record.manifestDigest), { force: true });
    rmSync(this.#layout.manifest(record.manifestDigest), { force: true });
    if (!keepConfig) rmSync(this.#layout.config(record.configDigest), { force: true });
  }

  /** The reference in a file of the references' directory; undefined unless it is intact and where it belongs. */
  referenceIn(name: string, warn: Warn): ReferenceRecord | undefined {
    const found = readChecked(this.#layout.reference(name), warn) as ReferenceRecord | undefined;
    return found && referenceKey(found.reference, found.platform) === name ? found : undefined;
  }

  /** A verified document. */
  writeDocument(kind: "manifest" | "config", digest: BlobDigest, bytes: Uint8Array): void {
    durableWrite(this.#layout[kind](digest), bytes, this.#layout.staging);
  }

  /** The bytes of a config or manifest, or undefined if absent; the caller checks the digest, as with any source. */
  readDocument(kind: "manifest" | "config", digest: BlobDigest): Buffer | undefined {
    return readIfExists(this.#layout[kind](digest));
  }

  removeReference(reference: string, platform: string): void {
    rmSync(this.#layout.reference(referenceKey(reference, platform)), { force: true });
  }
}

/** Names the file of a reference, or of what is said of one. */
export function referenceKey(reference: string, platform: string): string {
  return base32(sha256(`${reference}\0${platform}`)).slice(0, 32);
}
