/** Limits on untrusted images. */
import { ShaleError } from "../errors.ts";
import { MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES } from "../image/document.ts";
import type { Descriptor } from "../image/descriptor.ts";
import type { LayerLimits } from "../ingest/layer/layer-limits.ts";

/** Each limit has its own error code: see docs/limits.md. Limits apply to what is fetched; images of the store are not checked again. */
export interface Limits extends LayerLimits {
  /** Unpacked bytes of all distinct layers of an image. Default 256 GiB. */
  readonly imageBytes: number;
  /** Layers of an image. Default 1000. */
  readonly imageLayers: number;
  /** Bytes of one compressed layer, by its descriptor. Default 64 GiB. */
  readonly blobBytes: number;
  /** Bytes of a manifest or image index. Default and maximum 4 MiB. */
  readonly manifestBytes: number;
  /** Bytes of an image config. Default 4 MiB. */
  readonly configBytes: number;
  /** Image indexes between the reference and the manifest. Default 4. */
  readonly indexDepth: number;
}

const MIB: number = 1024 * 1024;
const GIB: number = 1024 * MIB;

export const DEFAULT_LIMITS: Limits = {
  layerBytes: 64 * GIB,
  fileBytes: 32 * GIB,
  layerEntries: 2_000_000,
  metadataBytes: GIB,
  pathDepth: 1024,
  headerBytes: MIB,
  xattrBytes: 128 * 1024,
  ratio: 200,
  ratioFloor: GIB,
  imageBytes: 256 * GIB,
  imageLayers: 1000,
  blobBytes: 64 * GIB,
  manifestBytes: MAX_MANIFEST_BYTES,
  configBytes: MAX_CONFIG_BYTES,
  indexDepth: 4,
};

/** Upper bounds of limits whose size is allocated at once. */
const CEILINGS: Partial<Limits> = { headerBytes: MIB, manifestBytes: MAX_MANIFEST_BYTES };

/** The defaults, overridden by the given limits. An undefined limit keeps its default. @throws RangeError */
export function resolveLimits(given: { readonly [K in keyof Limits]?: Limits[K] | undefined } = {}): Limits {
  const limits: Record<string, number> = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) throw new RangeError(`\`limits\` has no ${JSON.stringify(name)}; docs/limits.md lists them`);
    if (value === undefined) continue;
    const ceiling = CEILINGS[name as keyof Limits] ?? Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(value) || value < 0 || value > ceiling) {
      throw new RangeError(`\`limits.${name}\` is ${String(value)}; expected a whole number from 0 to ${ceiling}`);
    }
    limits[name] = value;
  }
  return limits as unknown as Limits;
}

/** @throws LIMIT_BLOB_BYTES */
export function refuseLargeBlob({ digest, size }: Descriptor, maximum: number): void {
  if (size <= maximum) return;
  const message = `the blob ${digest} has ${size} bytes, more than the limit of ${maximum}; raise \`limits.blobBytes\` if the image is trusted`;
  throw new ShaleError("LIMIT_BLOB_BYTES", message, { limit: "blobBytes", maximum });
}

/** Sums the unpacked bytes of an image's layers during the pull. */
export class ImageBudget {
  readonly #maximum: number;
  readonly #refuse: (error: ShaleError<"LIMIT_IMAGE_BYTES">) => void;
  readonly #sizes = new Map<string, number>();
  #total = 0;

  /** `refuse` ends the pull; it is called for each count beyond the limit. */
  constructor(maximum: number, refuse: (error: ShaleError<"LIMIT_IMAGE_BYTES">) => void) {
    this.#maximum = maximum;
    this.#refuse = refuse;
  }

  /** Sets the bytes of one layer so far. */
  set(diffId: string, bytes: number): void {
    this.#total += bytes - (this.#sizes.get(diffId) ?? 0);
    this.#sizes.set(diffId, bytes);
    if (this.#total <= this.#maximum) return;
    const message = `the image unpacks to ${this.#total} bytes or more, beyond the limit of ${this.#maximum}; raise \`limits.imageBytes\` if it is trusted`;
    this.#refuse(new ShaleError("LIMIT_IMAGE_BYTES", message, { limit: "imageBytes", maximum: this.#maximum }));
  }
}
