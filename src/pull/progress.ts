/** Events of a running pull. Byte counts are coalesced; every started layer, sidecar and tree, and the pull itself, ends in a terminal event. */
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
      /** Bottom to top; `size` is the blob's, in bytes. */
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
  /** Nothing to fetch: in the store already, or another process is or was at it. Terminal for the layer's download and ingest. */
  | ({ readonly kind: "layer-skipped"; readonly reason: "in-store" | "ingested-elsewhere" } & LayerProgress)
  | ({ readonly kind: "layer-failed"; readonly code: FailureCode; readonly message: string } & LayerProgress)
  | ({ readonly kind: "tree-started"; readonly total: number } & LayerProgress)
  | ({ readonly kind: "tree-advanced"; readonly entries: number; readonly total: number } & LayerProgress)
  | ({ readonly kind: "tree-complete"; readonly entries: number } & LayerProgress)
  | ({ readonly kind: "tree-skipped" } & LayerProgress)
  /** The beginning of the blob was here already, from a download that was cut off: so many bytes are not fetched again. */
  | ({ readonly kind: "download-resumed"; readonly bytes: number } & LayerProgress)
  /** The blob comes from this host, `name[:port]`; told again when it changes. */
  | ({ readonly kind: "serving"; readonly host: string; readonly mirror: boolean } & LayerProgress)
  /** A request failed or a transfer broke: it is made again after so many ms, or from another host. (For manifest and config that is a warning.) */
  | ({
      readonly kind: "retrying";
      readonly host: string;
      readonly code: string;
      readonly message: string;
      readonly delayMs: number;
    } & LayerProgress)
  /** Something was wrong, was put right or worked around, and the pull goes on. */
  | { readonly kind: "warning"; readonly code: string; readonly message: string }
  | { readonly kind: "complete"; readonly manifestDigest: BlobDigest; readonly cached: boolean }
  | { readonly kind: "failed"; readonly code: FailureCode; readonly message: string };

/** Never awaited; what it throws is dropped: progress can neither block nor fail a pull. */
export type ProgressSink = (event: ProgressEvent) => void;
