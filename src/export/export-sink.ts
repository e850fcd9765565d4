/** Where an exported image is written to. Nothing is visible of it before `finish`, and nothing stays after `discard`. */
import type { Descriptor } from "../image/descriptor.ts";
import type { DiffId } from "../image/digest.ts";

export interface ExportBlob {
  readonly descriptor: Pick<Descriptor, "mediaType" | "digest" | "size">;
  /** The whole content, once a call. */
  readonly bytes: () => AsyncIterable<Uint8Array>;
}

export interface ExportedImage {
  readonly manifest: ExportBlob;
  readonly config: ExportBlob;
  /** Bottom to top. */
  readonly layers: readonly (ExportBlob & { readonly diffId: DiffId })[];
}

export interface ExportSink {
  /** A directory for layers that must be compressed before their size is known; on the disk that is written to, if it is one. */
  readonly staging: string;
  write(image: ExportedImage): Promise<void>;
  /** Makes it visible. */
  finish(): Promise<void>;
  /** Idempotent; after `finish` it only clears what was temporary. */
  discard(): Promise<void>;
}
