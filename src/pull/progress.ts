/** The events of a pull. Counts are rate-limited. Each layer, sidecar and tree that was started, and the pull itself, ends with a terminal event. */
import type { ErrorCode } from "../errors.ts";
import type { BlobDigest, DiffId } from "../image/digest.ts";

export interface LayerProgress {
  /** 0 is the bottom layer. */
  readonly index: number;
  readonly diffId: DiffId;
}

/** `ABORTED`: stopped with the pull, by its signal or by the failure of another layer. `ERROR`: an error that is not a ShaleError. */
export type FailureCode = ErrorCode | "ABORTED" | "ERROR";

export type ProgressEvent =
  | { readonly kind: "resolving"; readonly reference: string }
  | {
      readonly kind: "resolved";
      readonly reference: string;
      readonly manifestDigest: BlobDigest;
      /** Bottom to top; `size` is that of the blob, in bytes. */
      readonly layers: readonly { readonly diffId: DiffId; readonly digest: BlobDigest; readonly size: number }[];
    }
  | ({ readonly kind: "download-started"; readonly total: number } & LayerProgress)
  | ({ readonly kind: "download-advanced"; readonly bytes: number; readonly total: number } & LayerProgress)
  | ({ readonly kind: "download-complete"; readonly bytes: number } & LayerProgress)
  | ({ readonly kind: "ingest-started" } & LayerProgress)
  | ({ readonly kind: "ingest-advanced"; readonly bytes: number; readonly entries: number } & LayerProgress)
  | ({ readonly kind: "ingest-complete"; readonly bytes: number; readonly entries: number } & LayerProgress)
  | ({ readonly kind: "sidecar-started" } & LayerProgress)
  | ({ readonly kind: "sidecar-complete"; readonly bytes: number } & LayerProgress)
  /** Not fetched: it was in the store, or another pull ingested it. Terminal for the layer's download and ingest. */
  | ({ readonly kind: "layer-skipped"; readonly reason: "in-store" | "ingested-elsewhere" } & LayerProgress)
  | ({ readonly kind: "layer-failed"; readonly code: FailureCode; readonly message: string } & LayerProgress)
  | ({ readonly kind: "tree-started"; readonly total: number } & LayerProgress)
  | ({ readonly kind: "tree-advanced"; readonly entries: number; readonly total: number } & LayerProgress)
  | ({ readonly kind: "tree-complete"; readonly entries: number } & LayerProgress)
  | ({ readonly kind: "tree-skipped" } & LayerProgress)
  /** The first `bytes` bytes of the blob came from an interrupted download. */
  | ({ readonly kind: "download-resumed"; readonly bytes: number } & LayerProgress)
  /** The host that serves the blob, `name[:port]`; sent again when it changes. */
  | ({ readonly kind: "serving"; readonly host: string; readonly mirror: boolean } & LayerProgress)
  /** A request failed or a transfer broke, and is retried after `delayMs`, perhaps on another host. Retries of manifest and config are warnings. */
  | ({
      readonly kind: "retrying";
      readonly host: string;
      readonly code: string;
      readonly message: string;
      readonly delayMs: number;
    } & LayerProgress)
  /** A problem that was repaired or worked around; the pull continues. */
  | { readonly kind: "warning"; readonly code: string; readonly message: string }
  | { readonly kind: "complete"; readonly manifestDigest: BlobDigest; readonly cached: boolean }
  | { readonly kind: "failed"; readonly code: FailureCode; readonly message: string };

/** Not awaited. An exception becomes a process warning: a sink can neither delay nor fail a pull. */
export type ProgressSink = (event: ProgressEvent) => void;
