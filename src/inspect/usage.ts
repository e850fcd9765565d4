/** How many bytes the images and layers of a store take, alone and together. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { CatalogInode } from "../store/catalog/catalog-session.ts";
import type { InodeId } from "../store/ids.ts";
import { namesIn } from "../system/names-in.ts";
import { findOrphans } from "./find-orphans.ts";
import { readImages, type Reason } from "./roots.ts";
import type { StoreParts } from "./store-parts.ts";

export interface ImageUsage {
  readonly manifestDigest: BlobDigest;
  /** Why the image stays. */
  readonly reasons: readonly Reason[];
  /** ms since 1970. */
  readonly lastUse: number;
  /** Bytes of content that no other image has: what its removal would free. */
  readonly alone: number;
  /** Bytes of content that other images have too. */
  readonly shared: number;
}

export interface LayerUsage {
  readonly diffId: DiffId;
  /** The images that have the layer. If there are none, the next gc removes it. */
  readonly images: readonly BlobDigest[];
  /** Bytes of content that no other layer has. */
  readonly alone: number;
  readonly shared: number;
}

export interface Usage {
  readonly images: readonly ImageUsage[];
  readonly layers: readonly LayerUsage[];
  /** Files in chunks/ according to the catalog, and those that interrupted ingests left; and the bytes of their content, each counted once. */
  readonly chunks: number;
  readonly bytes: number;
  /** Bytes that belong to no image: a gc would free them. */
  readonly unused: number;
  /** Kept blobs, and their bytes. */
  readonly blobs: number;
  readonly blobBytes: number;
  /** Bytes of interrupted downloads that can be resumed. */
  readonly downloadBytes: number;
  /** Materialized layers. They consist of hard links, so they take directories but no content. */
  readonly trees: number;
}

/** Longest time (ms) that one session of the catalog takes. */
const SLICE_MS = 50;

/** Reads the catalog once, in order. Memory grows with images and layers, not with chunks. */
export async function storeUsage(parts: StoreParts, signal?: AbortSignal): Promise<Usage> {
  const images = [...readImages(parts, 0).values()];
  const owners = new Map<DiffId, number[]>();
  images.forEach(({ record }, index) => {
    for (const diffId of new Set(record.layers.map((layer) => layer.diffId))) owners.set(diffId, [...(owners.get(diffId) ?? []), index]);
  });
  const layers = new Map(parts.layers.list().map((diffId) => [diffId, { alone: 0, shared: 0 }]));
  const alone = new Float64Array(images.length);
  const shared = new Float64Array(images.length);
  const usersOf = ([first, ...rest]: readonly DiffId[]): readonly number[] =>
    rest.length === 0 ? (owners.get(first!) ?? []) : [...new Set([first!, ...rest].flatMap((diffId) => owners.get(diffId) ?? []))];
  const total = { chunks: 0, bytes: 0, unused: 0 };
  await eachInode(parts, signal, (inode) => {
    const users = usersOf(inode.layers);
    total.chunks++;
    total.bytes += inode.size;
    if (users.length === 0) total.unused += inode.size;
    const column = users.length === 1 ? alone : shared;
    for (const user of users) column[user]! += inode.size;
    for (const diffId of inode.layers) {
      const layer = layers.get(diffId);
      if (layer) layer[inode.layers.length === 1 ? "alone" : "shared"] += inode.size;
    }
  });
  for (const { bytes } of (await findOrphans(parts, signal))?.orphans ?? []) {
    total.chunks++;
    total.bytes += bytes;
    total.unused += bytes;
  }
  const { layout } = parts;
  const [blobs, downloads] = [layout.blobs, layout.downloads].map(filesIn);
  return {
    images: images.map(({ record, reasons, lastUse }, index) => {
      return { manifestDigest: record.manifestDigest, reasons, lastUse, alone: alone[index]!, shared: shared[index]! };
    }),
    layers: [...layers].map(([diffId, sizes]) => {
      return { diffId, images: (owners.get(diffId) ?? []).map((index) => images[index]!.record.manifestDigest), ...sizes };
    }),
    ...total,
    blobs: blobs!.count,
    blobBytes: blobs!.bytes,
    downloadBytes: downloads!.bytes,
    trees: namesIn(layout.trees).length,
  };
}

/** Reads in several sessions, between which other processes may change the catalog: the result may or may not include such a change. */
async function eachInode(parts: StoreParts, signal: AbortSignal | undefined, visit: (inode: CatalogInode) => void): Promise<void> {
  let last: InodeId | undefined;
  do {
    last = await parts.catalog.session((session) => {
      const start = performance.now();
      return session.inodesAfter(last, () => performance.now() - start > SLICE_MS, visit);
    }, signal);
  } while (last !== undefined);
}

/** Counts the files in a directory and sums their sizes; both are 0 if the directory is missing. */
export function filesIn(directory: string): { count: number; bytes: number } {
  const sizes = namesIn(directory).map((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0);
  return { count: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}
