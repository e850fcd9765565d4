/** What one pull was asked for, and what it returns. */
import type { Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";
import type { Source } from "../source/source.ts";
import type { TreeId } from "../store/ids.ts";
import type { ImageRecord, Images } from "../store/images.ts";
import type { Profile } from "../store/profile.ts";
import type { FileLock } from "../system/file-lock.ts";
import type { ComposedLayer } from "../tree/tasks.ts";
import type { Holds } from "./holds.ts";
import type { Limits } from "./limits.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { VerifyManifest } from "./resolve-image.ts";

/** Which image, in which form. */
export interface ImageRequest {
  /** What the source is asked for. */
  readonly reference: Reference;
  /** What the store calls the image: a canonical reference, as a rule that of `reference`. */
  readonly name: string;
  readonly platform: Platform;
  readonly profile: Profile;
  /** Create the trees too. */
  readonly eager: boolean;
  readonly buildIndex: boolean;
  /** The image's repository must have served each blob itself. */
  readonly requireProof: boolean;
  readonly relay: ProgressRelay;
  readonly signal: AbortSignal;
}

export type PullPolicy = "if-missing" | "always" | "never";

/** How a pull may fetch what the store lacks. */
interface FetchRequest {
  readonly policy: PullPolicy;
  /** Fetch and ingest everything again. */
  readonly force: boolean;
  readonly durability: "deferred" | "barrier";
  readonly keepBlobs: boolean;
  readonly limits: Limits;
  readonly verifyManifest: VerifyManifest | undefined;
  /** Opens the source; called only when the registry, layout or archive is needed. */
  readonly source: () => Promise<Source>;
}

export type PullRequest = ImageRequest & FetchRequest;

export interface RunningPull {
  /** Locks of this pull, released when it ends. */
  readonly holds: Holds;
  /** Reports damage as warnings of this pull. */
  readonly images: Images;
  /** When it began, on the clock of `milliseconds`. */
  readonly started: number;
}

export interface PullStats {
  /** Bytes of layer blobs that this pull fetched. */
  readonly downloadedBytes: number;
  /** Bytes of layer blobs that were on disk already, from interrupted downloads or kept blobs. */
  readonly resumedBytes: number;
  /** Layers that this pull ingested. */
  readonly ingestedLayers: number;
  /** Files that this handle added to the store while the pull ran, and their bytes; the others existed already. */
  readonly newChunks: number;
  readonly newChunkBytes: number;
  readonly durationMs: number;
}

export const NO_WORK: Omit<PullStats, "durationMs"> = {
  downloadedBytes: 0,
  resumedBytes: 0,
  ingestedLayers: 0,
  newChunks: 0,
  newChunkBytes: 0,
};

/** A tree of the image; with its resolution once the layers were composed. */
export interface TreeRef extends Partial<ComposedLayer> {
  readonly treeId: TreeId;
}

/** An image of the store, as plain data. The receiver owns the lease and releases it. */
export interface PulledImage {
  readonly record: ImageRecord;
  /** What the store calls it. */
  readonly name: string;
  readonly profile: Profile;
  /** Bottom to top. After a lazy pull the directories may be missing. */
  readonly trees: readonly TreeRef[];
  readonly lease: FileLock;
  /** No layer or config blob was fetched. */
  readonly cached: boolean;
  readonly stats: PullStats;
}

/** Milliseconds of a monotonic clock. Importing `performance` would cost the boot path. */
export function milliseconds(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
