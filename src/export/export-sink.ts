/** The destination of an exported image. Nothing is visible before `finish`, and nothing remains after `discard`. */
import type { Descriptor } from "../image/descriptor.ts";
import type { DiffId } from "../image/digest.ts";

export interface ExportBlob {
  readonly descriptor: Pick<Descriptor, "mediaType" | "digest" | "size">;
  /** Returns the whole content; each call starts anew. */
  readonly bytes: () => AsyncIterable<Uint8Array>;
}

export interface ExportedImage {
  readonly manifest: ExportBlob;
  readonly config: ExportBlob;
  /** Bottom to top. */
  readonly layers: readonly (ExportBlob & { readonly diffId: DiffId })[];
}

export interface ExportSink {
  /** A directory for layers that must be compressed before their size is known; on the disk of the destination if it is a file. */
  readonly staging: string;
  write(image: ExportedImage): Promise<void>;
  /** Publishes the image. */
  finish(): Promise<void>;
  /** Removes temporary files, and before `finish` everything that was written. Idempotent. */
  discard(): Promise<void>;
}
