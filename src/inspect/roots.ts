/** The roots of garbage collection: the reasons why an image stays. */
import type { BlobDigest } from "../image/digest.ts";
import type { TreeId } from "../store/ids.ts";
import { treesOf, type ImageRecord, type ReferenceRecord } from "../store/images.ts";
import { mountedTrees } from "./mounted-trees.ts";
import type { StoreParts } from "./store-parts.ts";

/** `mount`, `handle` and `pull` describe the present moment; the others are recorded in the store. */
export type Reason =
  | { readonly kind: "reference"; readonly reference: string; readonly platform: string }
  /** The reference is pinned, so the image is never evicted by a budget. */
  | { readonly kind: "pin"; readonly reference: string; readonly platform: string }
  | { readonly kind: "lease"; readonly name: string; readonly expires?: number }
  /** The image was used or pulled recently. */
  | { readonly kind: "young"; readonly lastUse: number }
  /** A tree of the image is mounted. */
  | { readonly kind: "mount"; readonly treeId: TreeId }
  /** An `Image` is open, or a child process holds its lease. Only `why` and `dematerialize` report this. */
  | { readonly kind: "handle" }
  /** A running pull needs the object or is making it. Only `why` and `dematerialize` report this. */
  | { readonly kind: "pull" };

export interface KnownImage {
  readonly record: ImageRecord;
  readonly references: readonly ReferenceRecord[];
  readonly reasons: readonly Reason[];
  /** ms since 1970. */
  readonly lastUse: number;
}

/** How long (ms) an object stays after its last use unless the caller says otherwise. */
export const KEEP_YOUNGER_MS: number = 5 * 60 * 1000;

/** True if `time` (ms since 1970) is less than `keepYoungerMs` ms ago. A later time than that from now is of a clock that was wrong. */
export function isYoung(time: number, keepYoungerMs: number = KEEP_YOUNGER_MS): boolean {
  return Math.abs(Date.now() - time) < keepYoungerMs;
}

/**
 * Returns every image of the store with the reasons that keep it. Leases of handles are not among them: a removal finds such a lease
 * held. The last use is read before the reasons: a process that records a reason touches the lease afterwards, so a removal notices
 * either the reason or the changed time.
 */
export function readImages(parts: StoreParts, keepYoungerMs: number): Map<BlobDigest, KnownImage> {
  const { images, leases } = parts;
  const lastUses = images.records().map((digest) => [digest, leases.lastUse(digest)] as const);
  const findReasons = reasonFinder(parts);
  const known = new Map<BlobDigest, KnownImage>();
  for (const [digest, lastUse] of lastUses) {
    const record = images.record(digest);
    if (!record) continue;
    const { references, reasons } = findReasons(record);
    const young: readonly Reason[] = isYoung(lastUse, keepYoungerMs) ? [{ kind: "young", lastUse }] : [];
    known.set(digest, { record, references, reasons: [...reasons, ...young], lastUse });
  }
  return known;
}

/** Reads references, leases, pins and mounts once for all images. */
function reasonFinder({ images, leases, pins, layout }: StoreParts): (record: ImageRecord) => Pick<KnownImage, "references" | "reasons"> {
  const referencesOf = Map.groupBy(images.references(), ({ manifestDigest }) => manifestDigest);
  const leasesOf = Map.groupBy(leases.list(), ({ manifestDigest }) => manifestDigest);
  const pinned = new Set(pins.list().map(({ reference, platform }) => `${reference}\0${platform}`));
  const mounted = mountedTrees(layout);
  return (record) => {
    const { manifestDigest } = record;
    const references = referencesOf.get(manifestDigest) ?? [];
    const reasons: Reason[] = references.map(({ reference, platform }) => ({ kind: "reference", reference, platform }));
    for (const { reference, platform } of references)
      if (pinned.has(`${reference}\0${platform}`)) reasons.push({ kind: "pin", reference, platform });
    for (const { name, expires } of leasesOf.get(manifestDigest) ?? [])
      reasons.push({ kind: "lease", name, ...(expires !== undefined && { expires }) });
    if (mounted.size > 0) for (const treeId of treesOf(record)) if (mounted.has(treeId)) reasons.push({ kind: "mount", treeId });
    return { references, reasons };
  };
}
