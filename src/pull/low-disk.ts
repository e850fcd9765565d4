/** Refusing a pull that the disk cannot hold, before any layer is fetched. An estimate: a manifest tells blob sizes only. */
import { statfsSync, statSync } from "node:fs";
import { ShaleError } from "../errors.ts";
import type { LayerIdentity } from "../image/manifest.ts";
import { layerCompression } from "../image/media-type.ts";
import type { StoreCore } from "../session/store-core.ts";

/** What a compressed layer unpacks to, in multiples of its blob; ordinary images have 2.4 to 3.4. */
const UNPACKED_RATIO = 3;
/** Blobs that lie beside the work at one time. */
const BLOBS_AT_ONCE = 3;

/** `layers` are the image's; those that the store has need nothing. @throws LOW_DISK */
export function refuseLowDisk(core: StoreCore, layers: readonly LayerIdentity[], keepBlobs: boolean): void {
  const { root } = core.layout;
  const distinct = new Map(layers.map((layer) => [layer.diffId, layer]));
  const missing = [...distinct.values()].filter(({ diffId }) => core.layers.state(diffId) === "absent");
  if (missing.length === 0) return;
  const sizes = missing.map((layer) => sizesOf(core, layer)).sort((a, b) => b.blob - a.blob);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, bytes) => total + bytes, 0);
  const { minFreeBytes } = core;
  const atOnce = keepBlobs ? sizes : sizes.slice(0, BLOBS_AT_ONCE);
  const estimate = sum(sizes.map(({ unpacked }) => unpacked)) + sum(atOnce.map(({ blob }) => blob));
  const needed = minFreeBytes === undefined ? sum(sizes.map(({ blob }) => blob)) : estimate + minFreeBytes;
  const { bavail, bsize } = statfsSync(root);
  const available = bavail * bsize;
  if (available >= needed) return;
  const margin = minFreeBytes ? ` (${minFreeBytes} of them to stay free)` : "";
  const message = `the image needs about ${needed} bytes${margin} below ${JSON.stringify(root)}, where ${available} are free; remove images or free space, then pull again`;
  throw new ShaleError("LOW_DISK", message, { path: root, needed, available });
}

/** Bytes that are still to come of the blob, and that its files are thought to take. */
function sizesOf(core: StoreCore, { descriptor: { digest, size, mediaType } }: LayerIdentity): { blob: number; unpacked: number } {
  const begun = statSync(core.layout.download(digest), { throwIfNoEntry: false })?.size ?? 0;
  const unpacked = layerCompression(mediaType) === "none" ? size : size * UNPACKED_RATIO;
  return { blob: Math.max(0, size - begun), unpacked };
}
