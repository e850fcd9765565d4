/** What one layer may cost, and the count of what it has cost so far. */
import { ShaleError, type ErrorCode, type LimitDetail } from "../../errors.ts";
import type { EntryExtent } from "../../tar/measure-entry.ts";

/** Limits of one layer; those of a whole image are in `Limits`. */
export interface LayerLimits {
  /** Bytes that the layer unpacks to, the holes of sparse files included. Default 64 GiB. */
  readonly layerBytes: number;
  /** Bytes of one file, its holes included. Default 32 GiB. */
  readonly fileBytes: number;
  /** Entries of the archive, replaced ones and whiteouts included. Default 2,000,000. */
  readonly layerEntries: number;
  /** Bytes of memory for what is no file's content: names, attributes, and compressed headers and padding. Default 1 GiB. */
  readonly metadataBytes: number;
  /** Components of a path, those that symlinks add included. Default 1024. */
  readonly pathDepth: number;
  /** Bytes of one entry's headers: PAX records, GNU long names, sparse maps. Default, and at most, 1 MiB. */
  readonly headerBytes: number;
  /** Bytes of one entry's extended attributes: names, values, and 16 for each. Default 128 KiB. */
  readonly xattrBytes: number;
  /** Unpacked bytes for each byte of the blob, once the layer is larger than `ratioFloor`. Default 200. */
  readonly ratio: number;
  /** Bytes that any blob may unpack to, however small it is. Default 1 GiB. */
  readonly ratioFloor: number;
}

type LimitCode = { [C in ErrorCode]: C extends `LIMIT_${string}` ? C : never }[ErrorCode];

/** `what` completes "the layer ..."; the limit is named last, so that people find the option. */
export function layerLimitError(code: LimitCode, what: string, detail: LimitDetail): ShaleError {
  const message = `the layer ${what}, more than the limit of ${detail.maximum}; raise \`limits.${detail.limit}\` if the image is trusted`;
  return new ShaleError(code, message, detail);
}

export class LayerBudget {
  readonly #limits: LayerLimits;
  readonly #blobBytes: number;
  #bytes = 0;
  /** What sparse files have beyond what the archive stores. */
  #holes = 0;
  #entries = 0;

  /** `blobBytes`: of the compressed layer, as its descriptor says. */
  constructor(limits: LayerLimits, blobBytes: number) {
    this.#limits = limits;
    this.#blobBytes = blobBytes;
  }

  /** Counts unpacked bytes. @throws LIMIT_LAYER_BYTES, LIMIT_RATIO */
  addBytes(count: number): void {
    this.#bytes += count;
    this.#check();
  }

  /** Counts an entry, before its data is looked at. @throws LIMIT_FILE_BYTES, LIMIT_LAYER_ENTRIES, and as `addBytes` */
  addEntry({ size, stored }: EntryExtent): void {
    const { fileBytes, layerEntries } = this.#limits;
    if (++this.#entries > layerEntries) {
      throw layerLimitError("LIMIT_LAYER_ENTRIES", `has ${this.#entries} entries`, { limit: "layerEntries", maximum: layerEntries });
    }
    if (size > fileBytes) {
      throw layerLimitError("LIMIT_FILE_BYTES", `has a file of ${size} bytes`, { limit: "fileBytes", maximum: fileBytes });
    }
    this.#holes += Math.max(size - stored, 0);
    this.#check();
  }

  #check(): void {
    const { layerBytes, ratio, ratioFloor } = this.#limits;
    const total = this.#bytes + this.#holes;
    if (total > layerBytes) {
      throw layerLimitError("LIMIT_LAYER_BYTES", `unpacks to ${total} bytes or more`, { limit: "layerBytes", maximum: layerBytes });
    }
    if (total > Math.max(ratioFloor, ratio * this.#blobBytes)) {
      const what = `unpacks ${this.#blobBytes} bytes to ${total} or more`;
      throw layerLimitError("LIMIT_RATIO", what, { limit: "ratio", maximum: ratio });
    }
  }
}
