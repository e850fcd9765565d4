/** What one pull was asked for, and what all its steps use. */
import { ShaleError } from "../errors.ts";
import type { Platform } from "../image/platform.ts";
import type { Reference } from "../image/reference.ts";
import type { Source, SourceEvent } from "../source/source.ts";
import type { Profile } from "../store/profile.ts";
import type { BootCore } from "../session/boot-core.ts";
import type { Holds } from "./holds.ts";
import type { Limits } from "./limits.ts";
import type { ProgressRelay } from "./progress-relay.ts";
import type { VerifyManifest } from "./resolve-image.ts";
import type { StoreCore } from "../session/store-core.ts";
import type { TreesContext } from "./trees.ts";

export type PullPolicy = "if-missing" | "always" | "never";

/** `Core`: what a cached pull needs of the store, or the whole of it. */
export interface PullRequest<Core = BootCore> {
  readonly core: Core;
  /** What the source is asked for. */
  readonly reference: Reference;
  /** What the store calls the image: the canonical text of a reference, as a rule of that one. */
  readonly name: string;
  readonly platform: Platform;
  readonly profile: Profile;
  readonly policy: PullPolicy;
  readonly force: boolean;
  readonly buildIndex: boolean;
  readonly eager: boolean;
  readonly durability: "deferred" | "barrier";
  readonly keepBlobs: boolean;
  readonly requireProof: boolean;
  readonly limits: Limits;
  readonly verifyManifest: VerifyManifest | undefined;
  /** Called when the network or layout is needed, never for a cached image. */
  readonly source: () => Promise<Source>;
  readonly relay: ProgressRelay;
  /** Released by whoever made the request. */
  readonly holds: Holds;
  readonly signal: AbortSignal;
}

/** Milliseconds of a clock that only goes forward. `performance` would be loaded for it. */
export function milliseconds(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export function isDamage(error: unknown): error is ShaleError<"STORE_DAMAGED" | "SIDECAR_INVALID"> {
  return ShaleError.is(error, "STORE_DAMAGED") || ShaleError.is(error, "SIDECAR_INVALID");
}

/** Manifests and configs have no row of their own in the progress. */
export function tellRetries(relay: ProgressRelay): (event: SourceEvent) => void {
  return (event) => {
    if (event.kind !== "retrying") return;
    const { code, message, delayMs } = event;
    relay.warn(code, `${message}; it is tried again ${delayMs < 50 ? "at once" : `in ${(delayMs / 1000).toFixed(1)} s`}`);
  };
}

export function treesContext({ core, profile, relay, signal, force, holds }: PullRequest<StoreCore>): TreesContext {
  return { core, profile, relay, signal, force, holds };
}

/** For what a cached pull does without. */
export async function wholeRequest(request: PullRequest): Promise<PullRequest<StoreCore>> {
  return { ...request, core: await request.core.whole() };
}
