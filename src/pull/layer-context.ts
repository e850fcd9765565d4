/** What the steps of getting one layer share: the pull they belong to, what they answer, what proves the layer, and where its download lies. */
import type { LayerIdentity } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import type { Source } from "../source/source.ts";
import { proofKey, type Proof } from "../store/proofs.ts";
import type { StagedTree } from "./holds.ts";
import type { ImageBudget, Limits } from "./limits.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { StoreCore } from "../session/store-core.ts";

export interface LayerContext {
  readonly core: StoreCore;
  readonly source: Source;
  readonly reference: Reference;
  readonly relay: ProgressRelay;
  readonly force: boolean;
  readonly buildIndex: boolean;
  readonly durability: "deferred" | "barrier";
  readonly keepBlobs: boolean;
  /** Memory of MadeInodes, for what the image's trees have: these are staged on the way. Undefined: none of the native profile is wanted. */
  readonly used: SharedArrayBuffer | undefined;
  readonly limits: Limits;
  readonly budget: ImageBudget;
  /** The repository that must have given each layer's blob once; undefined: what the store has is anybody's. */
  readonly provenFor: string | undefined;
  readonly signal: AbortSignal;
}

/** Bytes of the blob. */
export interface LayerTraffic {
  readonly fetched: number;
  /** From an earlier download that was cut off, or a kept blob. */
  readonly resumed: number;
  /** False: fetched to see that it is the right one, and no more. */
  readonly ingested: boolean;
  /** Its receiver removes it. */
  readonly tree?: StagedTree | undefined;
}

export function proofOf({ descriptor, diffId }: LayerIdentity, repository: string): Proof {
  return { repository, blob: descriptor.digest, content: diffId };
}

/** What another repository sent proves nothing for this one. */
export function spoolOf(layer: LayerIdentity, { core, provenFor }: LayerContext): string {
  const path = core.layout.download(layer.descriptor.digest);
  return provenFor === undefined ? path : `${path}-${proofKey(proofOf(layer, provenFor))}`;
}
