/** Limits of one layer, and the counts that are compared with them. */
import { ShaleError, type ErrorCode, type LimitDetail } from "../../errors.ts";
import type { EntryExtent } from "../../tar/measure-entry.ts";

/** Limits of one layer; those of a whole image are in `Limits`. */
export interface LayerLimits {
  /** Unpacked bytes of the layer, including holes of sparse files. Default 64 GiB. */
  readonly layerBytes: number;
  /** Bytes of one file, including holes. Default 32 GiB. */
  readonly fileBytes: number;
  /** Entries of the archive, including replaced entries and whiteouts. Default 2,000,000. */
  readonly layerEntries: number;
  /** Bytes of memory for metadata: names, attributes, and compressed headers and padding. Default 1 GiB. */
  readonly metadataBytes: number;
  /** Components of a path, including those that symlinks add. Default 1024. */
  readonly pathDepth: number;
  /** Bytes of one entry's headers: PAX records, GNU long names, sparse maps. Default and maximum 1 MiB. */
  readonly headerBytes: number;
  /** Bytes of one entry's extended attributes: names, values, and 16 for each. Default 128 KiB. */
  readonly xattrBytes: number;
  /** Unpacked bytes per byte of the blob, for layers larger than `ratioFloor`. Default 200. */
  readonly ratio: number;
  /** Unpacked bytes that are allowed for a blob of any size. Default 1 GiB. */
  readonly ratioFloor: number;
}

type LimitCode = { [C in ErrorCode]: C extends `LIMIT_${string}` ? C : never }[ErrorCode];

/** `what` completes "the layer ...". The message names the option. */
export function layerLimitError(code: LimitCode, what: string, detail: LimitDetail): ShaleError {
  const message = `the layer ${what}, more than the limit of ${detail.maximum}; raise \`limits.${detail.limit}\` if the image is trusted`;
  return new ShaleError(code, message, detail);
}

export class LayerBudget {
  readonly #limits: LayerLimits;
  readonly #blobBytes: number;
  #bytes = 0;
  /** Bytes of holes in sparse files. */
  #holes = 0;
  #entries = 0;

  /** `blobBytes`: bytes of the compressed layer, by its descriptor. */
  constructor(limits: LayerLimits, blobBytes: number) {
    this.#limits = limits;
    this.#blobBytes = blobBytes;
  }

  /** Counts unpacked bytes. @throws LIMIT_LAYER_BYTES, LIMIT_RATIO */
  addBytes(count: number): void {
    this.#bytes += count;
    this.#check();
  }

  /** Counts an entry before its data is read. @throws LIMIT_FILE_BYTES, LIMIT_LAYER_ENTRIES, and as `addBytes` */
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
