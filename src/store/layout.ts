/**
 * Every path in a store, and every pattern of a name in it: see format/store.md, "Layout". Paths are made from parsed ids only. Names that
 * come from a directory are parsed here; what does not parse is not part of the format.
 */
import { basename, join } from "node:path";
import { digestFileName, digestHex, parseBlobDigest, parseDiffId, type BlobDigest, type DiffId } from "../image/digest.ts";
import { base32, parseTreeId, type InodeId, type InodeName, type TreeId } from "./ids.ts";

/** The files of a layer's directory. */
export const SIDECAR = "sidecar";
export const HEADERS = "headers";
export const LAYER_RECORD = "record";
export const DURABLE = "durable";

/** The file in a work directory whose lock says that its owner lives. */
export const WORK_OWNER = "owner";

const SUPERBLOCK = "store.json";
const CACHEDIR_TAG = "CACHEDIR.TAG";

export class StoreLayout {
  readonly root: string;
  readonly chunks: string;
  readonly layers: string;
  readonly trees: string;
  readonly images: string;
  readonly manifests: string;
  readonly configs: string;
  readonly records: string;
  readonly references: string;
  readonly proofs: string;
  readonly leases: string;
  readonly pins: string;
  readonly blobs: string;
  readonly db: string;
  readonly edges: string;
  readonly locks: string;
  readonly staging: string;
  readonly downloads: string;

  constructor(root: string) {
    this.root = root;
    this.chunks = join(root, "chunks");
    this.layers = join(root, "layers");
    this.trees = join(root, "trees");
    this.images = join(root, "images");
    this.manifests = join(this.images, "manifests");
    this.configs = join(this.images, "configs");
    this.records = join(this.images, "records");
    this.references = join(this.images, "references");
    this.proofs = join(this.images, "proofs");
    this.leases = join(this.images, "leases");
    this.pins = join(this.images, "pins");
    this.blobs = join(root, "blobs");
    this.db = join(root, "db");
    this.edges = join(root, "edges");
    this.locks = join(root, "locks");
    this.staging = join(root, "staging");
    this.downloads = join(this.staging, "downloads");
  }

  get superblock(): string {
    return join(this.root, SUPERBLOCK);
  }

  get cachedirTag(): string {
    return join(this.root, CACHEDIR_TAG);
  }

  /** The directories that every store has, parents first. The others are made when they are first needed. */
  get directories(): readonly string[] {
    const { chunks, layers, trees, images, manifests, configs, records, references, locks, staging } = this;
    return [chunks, layers, trees, images, manifests, configs, records, references, locks, staging];
  }

  /** The names that the format defines in the root. */
  get rootNames(): ReadonlySet<string> {
    const { chunks, layers, trees, images, blobs, db, edges, locks, staging } = this;
    const directories = [chunks, layers, trees, images, blobs, db, edges, locks, staging];
    return new Set([SUPERBLOCK, CACHEDIR_TAG, ...directories.map((path) => basename(path))]);
  }

  /** The path relative to the root. */
  relative(path: string): string {
    return path.slice(this.root.length + 1);
  }

  layer(diffId: DiffId): string {
    return join(this.layers, digestFileName(diffId));
  }

  sidecar(diffId: DiffId): string {
    return join(this.layer(diffId), SIDECAR);
  }

  headers(diffId: DiffId): string {
    return join(this.layer(diffId), HEADERS);
  }

  layerRecord(diffId: DiffId): string {
    return join(this.layer(diffId), LAYER_RECORD);
  }

  /** The mark of a layer that is known to be on the disk. */
  durableMark(diffId: DiffId): string {
    return join(this.layer(diffId), DURABLE);
  }

  tree(treeId: TreeId): string {
    return join(this.trees, treeId);
  }

  manifest(digest: BlobDigest): string {
    return join(this.manifests, digestFileName(digest));
  }

  config(digest: BlobDigest): string {
    return join(this.configs, digestFileName(digest));
  }

  imageRecord(manifestDigest: BlobDigest): string {
    return join(this.records, digestFileName(manifestDigest));
  }

  reference(key: string): string {
    return join(this.references, key);
  }

  /** Records that a repository has served a blob: see proofs.ts. */
  proof(key: string): string {
    return join(this.proofs, key);
  }

  namedLease(key: string): string {
    return join(this.leases, key);
  }

  pin(key: string): string {
    return join(this.pins, key);
  }

  /** A kept blob. */
  blob(digest: BlobDigest): string {
    return join(this.blobs, digestFileName(digest));
  }

  /** The database's file that exists once it was created. */
  get dbCurrent(): string {
    return join(this.db, "CURRENT");
  }

  /** `nonce`: 16 hex digits that no other file of this layer has. */
  pendingEdges(diffId: DiffId, nonce: string): string {
    return join(this.edges, `${digestHex(diffId)}-${nonce}`);
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

  treeLock(treeId: TreeId): string {
    return join(this.locks, `tree-${treeId}`);
  }

  lease(manifestDigest: BlobDigest): string {
    return join(this.locks, `lease-${digestFileName(manifestDigest)}`);
  }

  /** The received part of a blob. `key` keeps the downloads of one repository apart from those of others. */
  download(digest: BlobDigest, key?: string): string {
    return join(this.downloads, key === undefined ? digestFileName(digest) : `${digestFileName(digest)}-${key}`);
  }

  /** The work directory of one handle. */
  work(nonce: string): string {
    return join(this.staging, `work-${nonce}`);
  }

  /** The directory of the marks of inodes whose content was verified in this boot. */
  verified(bootId: string): string {
    return join(this.staging, `verified-${bootId}`);
  }

  /** A directory or file that was taken out of the store but may be in use. `name`: of a tree its id, else any short name. */
  replaced(name: string, nonce: string): string {
    return join(this.staging, `replaced-${name.slice(0, 80)}-${nonce}`);
  }

  /** A layer that is being removed. */
  removedLayer(diffId: DiffId): string {
    return join(this.staging, `removed-${digestHex(diffId)}`);
  }

  /** A database that is being rebuilt; one name, since only the holder of its lock uses it. */
  get replacedDb(): string {
    return join(this.staging, "db-replaced");
  }
}

/** The link source of an inode and ordinal: `<chunks>/<2>/<30>[.k]`. */
export function chunkPath(chunks: string, inodeId: InodeId, ordinal = 0): string {
  return chunkPathByName(chunks, base32(inodeId) as InodeName, ordinal);
}

export function chunkPathByName(chunks: string, name: InodeName, ordinal = 0): string {
  const path = `${chunks}/${name.slice(0, 2)}/${name.slice(2)}`;
  return ordinal === 0 ? path : `${path}.${ordinal}`;
}

/** True for the name of a directory in chunks/. */
export function isShard(name: string): boolean {
  return /^[a-z2-7]{2}$/.test(name);
}

const LINK_SOURCE: RegExp = /^([a-z2-7]{32})(?:\.([1-9]\d{0,14}))?$/;

export interface LinkSourceName {
  readonly inode: InodeName;
  readonly ordinal: number;
}

/** The inode and ordinal of a file in the directory `shard` of chunks/. */
export function parseLinkSource(shard: string, name: string): LinkSourceName | undefined {
  const match = LINK_SOURCE.exec(shard + name);
  return match ? { inode: match[1] as InodeName, ordinal: Number(match[2] ?? 0) } : undefined;
}

/** The inode of a link source that is named by its inode id or by its path below the root or below chunks/. */
export function parseLinkSourcePath(path: string): InodeName | undefined {
  const match = /^(?:chunks\/)?([a-z2-7]{2})\/?([^/]*)$/.exec(path);
  return match ? parseLinkSource(match[1]!, match[2]!)?.inode : undefined;
}

/** The diff ID of a directory in layers/. */
export function parseLayerName(name: string): DiffId | undefined {
  return /^sha256-[0-9a-f]{64}$/.test(name) ? parseDiffId(name.replace("-", ":")) : undefined;
}

/** The digest of a file that is named by one: a manifest, config, record, kept blob or download. */
export function parseDigestName(name: string): BlobDigest | undefined {
  return /^(?:sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})$/.test(name) ? parseBlobDigest(name.replace("-", ":")) : undefined;
}

/** True for the name of a file in edges/. */
export function isPendingEdges(name: string): boolean {
  return /^[0-9a-f]{64}-[0-9a-f]{16}$/.test(name);
}

/** What a name in staging/ stands for. */
export type StagingName =
  | { readonly kind: "work" | "downloads" }
  | { readonly kind: "removed-layer"; readonly diffId: DiffId }
  | { readonly kind: "replaced-tree"; readonly treeId: TreeId }
  | { readonly kind: "other" };

export function parseStagingName(name: string): StagingName {
  if (name.startsWith("work-")) return { kind: "work" };
  if (name === "downloads") return { kind: "downloads" };
  const removed = /^removed-([0-9a-f]{64})$/.exec(name)?.[1];
  if (removed !== undefined) return { kind: "removed-layer", diffId: parseDiffId(`sha256:${removed}`) };
  const treeId = parseTreeId(/^replaced-(.{26})-/.exec(name)?.[1] ?? "");
  return treeId === undefined ? { kind: "other" } : { kind: "replaced-tree", treeId };
}

/** The object that a lock file guards. */
export type LockName =
  | { readonly kind: "use" | "layer"; readonly diffId: DiffId }
  | { readonly kind: "tree"; readonly treeId: TreeId }
  | { readonly kind: "lease"; readonly manifestDigest: BlobDigest };

/** Undefined for a lock that does not belong to one object, such as `gc`. */
export function parseLockName(name: string): LockName | undefined {
  const [, kind, id = ""] = /^(use|layer|tree|lease)-([a-z0-9-]+)$/.exec(name) ?? [];
  if (kind === "use" || kind === "layer") {
    const diffId = parseLayerName(`sha256-${id}`);
    return diffId && { kind, diffId };
  }
  if (kind === "tree") {
    const treeId = parseTreeId(id);
    return treeId && { kind, treeId };
  }
  const manifestDigest = kind === "lease" ? parseDigestName(id) : undefined;
  return manifestDigest && { kind: "lease", manifestDigest };
}
