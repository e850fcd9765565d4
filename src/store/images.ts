/**
 * Images and the references they were pulled by: manifests and configs by digest, one image record per manifest, which is all that a
 * cached pull needs, and references, small files that name a record. Records and references are written durably and have a checksum; a
 * damaged one counts as missing, with a warning. See format/store.md, "Images and references".
 */
import type { Warn } from "../errors.ts";
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
  /** The boot in which the record was written. Every layer was known to be intact then. */
  readonly bootId: string;
  /** Whether the sidecar of every layer has the path index. */
  readonly indexed: boolean;
  /** Tree ids by profile, bottom to top. Each tree was made or checked in that boot, or does not exist yet. */
  readonly trees: TreeLists;
  /** Tree ids by profile of trees that an earlier boot made. They must be checked before use. */
  readonly unchecked?: TreeLists;
}

export type TreeLists = Readonly<Partial<Record<Profile, readonly TreeId[]>>>;

export interface RecordedTrees {
  readonly bootId: string;
  readonly profile: Profile;
  readonly ids: readonly TreeId[];
  /** False if one of the trees may exist and was not checked in this boot. */
  readonly checked: boolean;
}

/** Merges the tree ids of one profile into those of an image record. */
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

/** Returns the trees of every profile. */
export function treesOf({ trees, unchecked = {} }: Pick<ImageRecord, "trees" | "unchecked">): TreeId[] {
  return [...Object.values(trees), ...Object.values(unchecked)].flat();
}

export interface ReferenceRecord {
  /** Canonical text. */
  readonly reference: string;
  /** The platform asked for, as os/architecture[/variant]. */
  readonly platform: string;
  readonly manifestDigest: BlobDigest;
  /** Digest of the image index that the reference named; undefined if it named a manifest. */
  readonly namedDigest?: BlobDigest;
}

/** Returns the digest that the registry reports while the reference is unchanged. */
export function namedDigest(record: ReferenceRecord): BlobDigest {
  return record.namedDigest ?? record.manifestDigest;
}

export class Images {
  readonly #layout: StoreLayout;
  readonly #warn: Warn;
  readonly #files: CheckedFiles;

  /** Damaged files are reported to `warn`, and count as missing. */
  constructor(layout: StoreLayout, warn: Warn, files: CheckedFiles = new CheckedFiles()) {
    this.#layout = layout;
    this.#warn = warn;
    this.#files = files;
  }

  /** The same images, with what was read of them; damage is reported to `warn`. */
  reportingTo(warn: Warn): Images {
    return new Images(this.#layout, warn, this.#files);
  }

  /** Returns the manifest digest of the last pull of a reference. Take the image's lease before reading its record, because gc removes it under the lease. */
  resolve(reference: string, platform: string): BlobDigest | undefined {
    const found = this.reference(reference, platform);
    return found && parseBlobDigest(found.manifestDigest);
  }

  /** Returns an image of this platform that was pulled by any reference to this digest of a manifest or image index. */
  resolvePinned(digest: BlobDigest, platform: string): BlobDigest | undefined {
    const leads = (record: ReferenceRecord): boolean => record.manifestDigest === digest || record.namedDigest === digest;
    const found = this.references().find((record) => record.platform === platform && leads(record));
    return found && parseBlobDigest(found.manifestDigest);
  }

  reference(reference: string, platform: string): ReferenceRecord | undefined {
    const path = this.#layout.reference(referenceKey(reference, platform));
    const found = this.#files.read(path, this.#warn) as ReferenceRecord | undefined;
    return found?.reference === reference && found.platform === platform ? found : undefined;
  }

  record(manifestDigest: BlobDigest): ImageRecord | undefined {
    const record = this.#files.read(this.#layout.imageRecord(parseBlobDigest(manifestDigest)), this.#warn) as ImageRecord | undefined;
    if (record?.manifestDigest !== manifestDigest) return undefined;
    for (const { diffId, digest } of record.layers) {
      parseDiffId(diffId);
      parseBlobDigest(digest);
    }
    // without a prototype, as parseConfig() returns it: a label may have the name of an inherited property
    const labels = Object.assign(Object.create(null) as Record<string, string>, record.config.labels);
    return { ...record, config: { ...record.config, labels } };
  }

  writeRecord(record: ImageRecord): void {
    writeChecked(this.#layout.imageRecord(record.manifestDigest), record, this.#layout.staging);
  }

  writeReference(record: ReferenceRecord): void {
    writeChecked(this.#layout.reference(referenceKey(record.reference, record.platform)), record, this.#layout.staging);
  }

  /** Returns every intact reference, unsorted. */
  references(): ReferenceRecord[] {
    const names = readdirSync(this.#layout.references);
    return names
      .map((name) => readChecked(this.#layout.reference(name), this.#warn) as ReferenceRecord | undefined)
      .filter((found) => found !== undefined);
  }

  /** Returns the manifest digest of every record, unsorted. */
  records(): BlobDigest[] {
    return readdirSync(this.#layout.records)
      .map((name) => parseDigestName(name))
      .filter((digest) => digest !== undefined);
  }

  /** Removes an image: its references, its record, its manifest, then its config unless `keepConfig`. */
  remove(record: ImageRecord, references: readonly ReferenceRecord[], keepConfig: boolean): void {
    for (const { reference, platform } of references) this.removeReference(reference, platform);
    rmSync(this.#layout.imageRecord(record.manifestDigest), { force: true });
    rmSync(this.#layout.manifest(record.manifestDigest), { force: true });
    if (!keepConfig) rmSync(this.#layout.config(record.configDigest), { force: true });
  }

  /** Returns the reference in this file of images/references/; undefined if it is damaged or has the wrong name. */
  referenceIn(name: string): ReferenceRecord | undefined {
    const found = readChecked(this.#layout.reference(name), this.#warn) as ReferenceRecord | undefined;
    return found && referenceKey(found.reference, found.platform) === name ? found : undefined;
  }

  /** Writes a document durably. The caller has verified it. */
  writeDocument(kind: "manifest" | "config", digest: BlobDigest, bytes: Uint8Array): void {
    durableWrite(this.#layout[kind](digest), bytes, this.#layout.staging);
  }

  /** Returns a manifest or config; undefined if it is missing. The caller must verify the digest. */
  readDocument(kind: "manifest" | "config", digest: BlobDigest): Buffer | undefined {
    return readIfExists(this.#layout[kind](digest));
  }

  removeReference(reference: string, platform: string): void {
    rmSync(this.#layout.reference(referenceKey(reference, platform)), { force: true });
  }
}

/** Returns the name of the file of a reference or pin: 32 characters. */
export function referenceKey(reference: string, platform: string): string {
  return base32(sha256(`${reference}\0${platform}`)).slice(0, 32);
}
