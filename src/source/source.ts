/** What a place that images come from must do: name a manifest, and stream a blob from an offset. It knows no store. */
import type { Descriptor } from "../image/descriptor.ts";
import type { BlobDigest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";

/** What a source tells while it works; hosts are `name[:port]`. */
export type SourceEvent =
  /** A request failed or a transfer broke: it is made again after the wait, or from another host. */
  | { readonly kind: "retrying"; readonly host: string; readonly code: string; readonly message: string; readonly delayMs: number }
  /** What was asked for comes from here; told once until it comes from elsewhere. */
  | { readonly kind: "serving"; readonly host: string; readonly mirror: boolean };

export interface SourceOptions {
  readonly signal?: AbortSignal | undefined;
  /** Must not throw. */
  readonly onEvent?: ((event: SourceEvent) => void) | undefined;
  /** Hosts, as `serving` names them, to ask only when all others have failed: what they sent was wrong. */
  readonly avoid?: ReadonlySet<string> | undefined;
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

  /** The digest of what the reference names now, unverified, if the source can tell for less than the document itself. */
  resolveDigest(reference: Reference, options?: SourceOptions): Promise<BlobDigest | undefined>;

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
