/** What the steps of fetching one layer share, and what they return. */
import type { LayerIdentity } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import type { Source } from "../source/source.ts";
import { proofKey, type Proof } from "../store/proofs.ts";
import type { StagedTree } from "./holds.ts";
import type { ImageBudget, Limits } from "./limits.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { PullStore } from "./pull-store.ts";

/** A layer at its index in the image; 0 is the bottom layer. */
export type NumberedLayer = LayerIdentity & { readonly index: number };

export interface LayerContext {
  readonly store: PullStore;
  readonly source: Source;
  readonly reference: Reference;
  readonly relay: ProgressRelay;
  readonly force: boolean;
  readonly buildIndex: boolean;
  readonly durability: "deferred" | "barrier";
  readonly keepBlobs: boolean;
  /** Memory of a MadeInodes: the inodes that the image's staged trees have. Undefined: no tree is staged during the ingest. */
  readonly used: SharedArrayBuffer | undefined;
  readonly limits: Limits;
  readonly budget: ImageBudget;
  /** The repository that must have served each layer's blob itself; undefined: any layer of the store will do. */
  readonly provenFor: string | undefined;
  readonly signal: AbortSignal;
}

/** Bytes of the blob. */
export interface LayerTraffic {
  readonly fetched: number;
  /** From an interrupted download, or a kept blob. */
  readonly resumed: number;
  /** False: fetched only to verify it. */
  readonly ingested: boolean;
  /** The receiver removes it. */
  readonly tree?: StagedTree | undefined;
}

export function proofOf({ descriptor, diffId }: LayerIdentity, repository: string): Proof {
  return { repository, blob: descriptor.digest, content: diffId };
}

/** Where a download is spooled. With `provenFor` the path depends on the repository: bytes of another repository prove nothing. */
export function spoolOf(layer: LayerIdentity, { store, provenFor }: LayerContext): string {
  return store.layout.download(layer.descriptor.digest, provenFor === undefined ? undefined : proofKey(proofOf(layer, provenFor)));
}
