/** Refuses a pull that does not fit on the disk before any layer is fetched. An estimate, since a manifest gives only blob sizes. */
import { statfsSync, statSync } from "node:fs";
import { ShaleError } from "../errors.ts";
import type { LayerIdentity } from "../image/manifest.ts";
import { layerCompression } from "../image/media-type.ts";
import type { PullStore } from "./pull-store.ts";

/** Unpacked size of a compressed layer in multiples of its blob; common images have 2.4 to 3.4. */
const UNPACKED_RATIO = 3;
/** Blobs that are on disk at the same time while they are ingested. */
const BLOBS_AT_ONCE = 3;

/** `layers` of the image; layers in the store need no space. @throws LOW_DISK */
export function refuseLowDisk(store: PullStore, layers: readonly LayerIdentity[], keepBlobs: boolean): void {
  const { root } = store.layout;
  const distinct = new Map(layers.map((layer) => [layer.diffId, layer]));
  const missing = [...distinct.values()].filter(({ diffId }) => store.layers.state(diffId) === "absent");
  if (missing.length === 0) return;
  const sizes = missing.map((layer) => sizesOf(store, layer)).sort((a, b) => b.blob - a.blob);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, bytes) => total + bytes, 0);
  const { minFreeBytes } = store;
  const atOnce = keepBlobs ? sizes : sizes.slice(0, BLOBS_AT_ONCE);
  const estimate = sum(sizes.map(({ unpacked }) => unpacked)) + sum(atOnce.map(({ blob }) => blob));
  const needed = minFreeBytes === undefined ? sum(sizes.map(({ blob }) => blob)) : estimate + minFreeBytes;
  const { bavail, bsize } = statfsSync(root);
  const available = bavail * bsize;
  if (available >= needed) return;
  const margin = minFreeBytes ? ` (${minFreeBytes} of them must stay free)` : "";
  const message = `the image needs about ${needed} bytes${margin} below ${JSON.stringify(root)}, where ${available} are free; remove images or free space, then pull again`;
  throw new ShaleError("LOW_DISK", message, { path: root, needed, available });
}

/** Bytes of the blob that are still to be fetched, and the estimated bytes of its files. */
function sizesOf(store: PullStore, { descriptor: { digest, size, mediaType } }: LayerIdentity): { blob: number; unpacked: number } {
  const begun = statSync(store.layout.download(digest), { throwIfNoEntry: false })?.size ?? 0;
  const unpacked = layerCompression(mediaType) === "none" ? size : size * UNPACKED_RATIO;
  return { blob: Math.max(0, size - begun), unpacked };
}
