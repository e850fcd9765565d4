/** What the images of a store take, alone and together. */
import type { BlobDigest, DiffId } from "../image/digest.ts";
import type { GcContext } from "./context.ts";
import { readImages, type Reason } from "./roots.ts";

export interface ImageUsage {
  readonly manifestDigest: BlobDigest;
  /** Why it stays. */
  readonly reasons: readonly Reason[];
  /** ms since 1970. */
  readonly lastUse: number;
  /** Bytes of content that only this image has: what its removal would free. */
  readonly alone: number;
  /** Bytes of content that other images have too. */
  readonly shared: number;
}

export interface Usage {
  readonly images: readonly ImageUsage[];
  /** Files in chunks/ by the catalog, and the bytes of their content, each counted once. */
  readonly chunks: number;
  readonly bytes: number;
  /** Bytes that belong to no image: a gc would free them. */
  readonly unused: number;
}

/** Reads the catalog once, in order; memory grows with images and layers, not with chunks. */
export async function storeUsage(context: GcContext, signal?: AbortSignal): Promise<Usage> {
  const images = [...readImages(context, 0).values()];
  const owners = new Map<DiffId, number[]>();
  images.forEach(({ record }, index) => {
    for (const { diffId } of record.layers) owners.set(diffId, [...(owners.get(diffId) ?? []), index]);
  });
  const alone = new Float64Array(images.length);
  const shared = new Float64Array(images.length);
  const total = { chunks: 0, bytes: 0, unused: 0 };
  await context.catalog.session(async (session) => {
    for await (const { size, layers } of session.inodes()) {
      signal?.throwIfAborted();
      const users = new Set(layers.flatMap((diffId) => owners.get(diffId) ?? []));
      total.chunks++;
      total.bytes += size;
      if (users.size === 0) total.unused += size;
      const column = users.size === 1 ? alone : shared;
      for (const user of users) column[user]! += size;
    }
  }, signal);
  const usage = images.map(({ record, reasons, lastUse }, index) => {
    return { manifestDigest: record.manifestDigest, reasons, lastUse, alone: alone[index]!, shared: shared[index]! };
  });
  return { images: usage, ...total };
}
