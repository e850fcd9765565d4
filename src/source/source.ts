/** The interface of a source of images: it resolves references to manifests and streams blobs. Sources know no store. */
import type { Descriptor } from "../image/descriptor.ts";
import type { BlobDigest } from "../image/digest.ts";
import type { Reference } from "../image/reference.ts";

/** Events of a source; hosts are `name[:port]`. */
export type SourceEvent =
  /** A request failed or a transfer broke. It is retried after `delayMs`, or with another host. */
  | { readonly kind: "retrying"; readonly host: string; readonly code: string; readonly message: string; readonly delayMs: number }
  /** The host that serves the blob; reported once until another host serves it. */
  | { readonly kind: "serving"; readonly host: string; readonly mirror: boolean };

export interface SourceOptions {
  readonly signal?: AbortSignal | undefined;
  /** Must not throw. */
  readonly onEvent?: ((event: SourceEvent) => void) | undefined;
  /** Hosts, as in `serving`, that are asked only after all others failed, because they sent wrong content. */
  readonly avoid?: ReadonlySet<string> | undefined;
}

export interface BlobOptions extends SourceOptions {
  /** The first byte to read; default 0. */
  readonly offset?: number;
  /** How many bytes to read; default: to the end. */
  readonly length?: number;
}

/** The bytes of a manifest or image index, and the descriptor that they were verified against or that was computed from them. */
export interface ManifestDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

export interface Source {
  /** The document that the reference names, at most 4 MiB. Its digest is computed from its bytes, and equals the reference's digest if that has one. */
  resolve(reference: Reference, options?: SourceOptions): Promise<ManifestDocument>;

  /** The digest that the reference names now, unverified; undefined if the source cannot tell without reading the document. */
  resolveDigest(reference: Reference, options?: SourceOptions): Promise<BlobDigest | undefined>;

  /** The manifest or image index that a descriptor names, at most 4 MiB, with verified size and digest. */
  readManifest(reference: Reference, descriptor: Descriptor, options?: SourceOptions): Promise<ManifestDocument>;

  /**
   * Streams the stored bytes of a blob from `offset`, neither decoded nor verified: the caller hashes them. Yields exactly
   * `descriptor.size - offset` (or `length`) bytes, or fails with SIZE_MISMATCH. Leaving the loop early ends the transfer. The chunks belong
   * to the caller.
   */
  readBlob(reference: Reference, descriptor: Descriptor, options?: BlobOptions): AsyncIterable<Uint8Array>;

  /** Closes connections and files; idempotent. */
  close(): Promise<void>;
}
