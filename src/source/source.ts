/** What a place that images come from must do: name a manifest, and stream a blob from an offset. It knows no store. */
import type { Descriptor } from "../image/descriptor.ts";
import type { Reference } from "../image/reference.ts";

export interface SourceOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface BlobOptions extends SourceOptions {
  /** First byte wanted; default 0. */
  readonly offset?: number;
  /** Bytes wanted from there; default: to the end. */
  readonly length?: number;
}

/** A manifest or image index: its bytes, and the descriptor that these bytes were checked against or computed from. */
export interface ManifestDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

export interface Source {
  /** The document that the reference names: at most 4 MiB, its digest computed from its bytes, and equal to the reference's if that has one. */
  resolve(reference: Reference, options?: SourceOptions): Promise<ManifestDocument>;

  /** The manifest or image index that a descriptor names, its size and digest verified. At most 4 MiB. */
  readManifest(reference: Reference, descriptor: Descriptor, options?: SourceOptions): Promise<ManifestDocument>;

  /**
   * The bytes of a blob from `offset`, exactly as stored: neither decoded nor verified (the caller hashes what passes).
   * Ends after `descriptor.size - offset` (or `length`) bytes; fewer or more fail with SIZE_MISMATCH. Leaving the loop
   * early ends the transfer. A chunk's memory belongs to the receiver.
   */
  readBlob(reference: Reference, descriptor: Descriptor, options?: BlobOptions): AsyncIterable<Uint8Array>;

  /** Ends connections; idempotent. */
  close(): Promise<void>;
}
