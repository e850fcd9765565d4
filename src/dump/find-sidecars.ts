/** Finds the sidecars that a target names: a file, a layer by its diff ID, or all layers of an image of the store. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { ShaleError } from "../errors.ts";
import { parseDiffId, type DiffId } from "../image/digest.ts";
import { formatPlatform, hostPlatform, parsePlatform } from "../image/platform.ts";
import { formatReference, parseReference } from "../image/reference.ts";
import { Images } from "../store/images.ts";
import { SIDECAR, StoreLayout } from "../store/layout.ts";

export interface FoundSidecar {
  readonly file: string;
  /** Index of the layer in the image, counted from the bottom, if the target is an image. */
  readonly index?: number;
}

export interface FindOptions {
  /** The directory of the store. Required for a diff ID and a reference. */
  readonly store?: string | undefined;
  /** The platform of a reference: `os/architecture[/variant]`. Default: this host's. */
  readonly platform?: string | undefined;
}

/** Returns the sidecars bottom to top. @throws NOT_CACHED, REFERENCE_INVALID, PLATFORM_INVALID */
export function findSidecars(target: string, options: FindOptions): FoundSidecar[] {
  if (/^sha256:[0-9a-f]{64}$/.test(target)) return [{ file: layerFile(parseDiffId(target), layoutOf(options, target)) }];
  if (existsSync(target)) return [{ file: statSync(target).isDirectory() ? join(target, SIDECAR) : target }];
  const layout = layoutOf(options, target);
  const reference = formatReference(parseReference(target));
  const platform = formatPlatform(options.platform === undefined ? hostPlatform() : parsePlatform(options.platform));
  const images = new Images(layout, () => {});
  const digest = images.resolve(reference, platform);
  const record = digest && images.record(digest);
  if (!record) throw notCached(`the image ${JSON.stringify(reference)} (${platform}) is not in the store; pull it first`, reference);
  return record.layers.map(({ diffId }, index) => ({ file: layerFile(diffId, layout), index }));
}

function layoutOf({ store }: FindOptions, target: string): StoreLayout {
  if (store !== undefined) return new StoreLayout(store);
  throw notCached(`${JSON.stringify(target)} is not a file; give the store that contains it`, target);
}

function layerFile(diffId: DiffId, layout: StoreLayout): string {
  const file = layout.sidecar(diffId);
  if (existsSync(file)) return file;
  throw notCached(`the layer ${diffId} is not in the store; pull an image that has it`, diffId);
}

function notCached(message: string, reference: string): ShaleError<"NOT_CACHED"> {
  return new ShaleError("NOT_CACHED", message, { reference });
}
