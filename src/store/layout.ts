/** Where things lie in a store: see format/store.md. Every path is derived here, from parsed ids only. */
import { join } from "node:path";
import { digestFileName, digestHex, type BlobDigest, type DiffId } from "../image/digest.ts";
import { base32 } from "./inode.ts";

export class StoreLayout {
  readonly root: string;
  readonly chunks: string;
  readonly layers: string;
  readonly trees: string;
  readonly images: string;
  readonly db: string;
  readonly edges: string;
  readonly locks: string;
  readonly staging: string;

  constructor(root: string) {
    this.root = root;
    this.chunks = join(root, "chunks");
    this.layers = join(root, "layers");
    this.trees = join(root, "trees");
    this.images = join(root, "images");
    this.db = join(root, "db");
    this.edges = join(root, "edges");
    this.locks = join(root, "locks");
    this.staging = join(root, "staging");
  }

  get superblock(): string {
    return join(this.root, "store.json");
  }

  get directories(): readonly string[] {
    const images = ["manifests", "configs", "records", "references"].map((name) => join(this.images, name));
    return [this.chunks, this.layers, this.trees, this.images, ...images, this.locks, this.staging];
  }

  layer(diffId: DiffId): string {
    return join(this.layers, digestFileName(diffId));
  }

  tree(treeId: string): string {
    return join(this.trees, treeId);
  }

  manifest(digest: BlobDigest): string {
    return join(this.images, "manifests", digestFileName(digest));
  }

  config(digest: BlobDigest): string {
    return join(this.images, "configs", digestFileName(digest));
  }

  /** The beginning of a blob whose download is under way or was cut off. */
  download(digest: BlobDigest): string {
    return join(this.staging, "downloads", digestFileName(digest));
  }

  /** A blob that was to be kept. */
  blob(digest: BlobDigest): string {
    return join(this.root, "blobs", digestFileName(digest));
  }

  imageRecord(manifestDigest: BlobDigest): string {
    return join(this.images, "records", digestFileName(manifestDigest));
  }

  reference(key: string): string {
    return join(this.images, "references", key);
  }

  /** That a repository gave a blob: see proofs.ts. */
  proof(key: string): string {
    return join(this.images, "proofs", key);
  }

  lock(name: "db" | "db-waiting" | "sweep" | "init" | "gc" | "boot"): string {
    return join(this.locks, name);
  }

  layerLock(diffId: DiffId): string {
    return join(this.locks, `layer-${digestHex(diffId)}`);
  }

  /** Held shared by every pull that needs the layer and has not recorded its image yet. */
  layerUse(diffId: DiffId): string {
    return join(this.locks, `use-${digestHex(diffId)}`);
  }

  treeLock(treeId: string): string {
    return join(this.locks, `tree-${treeId}`);
  }

  lease(manifestDigest: BlobDigest): string {
    return join(this.locks, `lease-${digestFileName(manifestDigest)}`);
  }
}

/** The link source of an inode id (20 bytes) and ordinal, relative to the store: `chunks/<2>/<30>[.k]`. */
export function chunkPath(chunks: string, inodeId: Uint8Array, ordinal = 0): string {
  const name = base32(inodeId);
  const path = `${chunks}/${name.slice(0, 2)}/${name.slice(2)}`;
  return ordinal === 0 ? path : `${path}.${ordinal}`;
}
