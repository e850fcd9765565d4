/** Roots: why an image stays. */
import type { BlobDigest } from "../image/digest.ts";
import { treesOf, type ImageRecord, type ReferenceRecord } from "../store/images.ts";
import type { GcContext } from "./store-parts.ts";
import { mountedTrees } from "./mounted-trees.ts";

/** `mount`, `handle` and `pull` are states of this moment; the others are written down. */
export type Reason =
  | { readonly kind: "reference"; readonly reference: string; readonly platform: string }
  /** The reference is pinned: no budget removes its image. */
  | { readonly kind: "pin"; readonly reference: string; readonly platform: string }
  | { readonly kind: "lease"; readonly name: string; readonly expires?: number }
  /** Used or pulled a moment ago. */
  | { readonly kind: "young"; readonly lastUse: number }
  /** A tree of the image is in some process' mount table. */
  | { readonly kind: "mount"; readonly treeId: string }
  /** An open `Image`, or a child process with its lease. Told by `why` and `dematerialize` only. */
  | { readonly kind: "handle" }
  /** A pull under way needs it, or is making it. Told by `why` and `dematerialize` only. */
  | { readonly kind: "pull" };

export interface KnownImage {
  readonly record: ImageRecord;
  readonly references: readonly ReferenceRecord[];
  readonly reasons: readonly Reason[];
  /** ms since 1970. */
  readonly lastUse: number;
}

/**
 * Every image of the store with what keeps it. Handles' leases are not listed: whoever removes finds them held. When an image was
 * used is read before what keeps it: who writes down a reason touches the lease afterwards, so either is seen.
 */
export function readImages(context: GcContext, keepYoungerMs: number): Map<BlobDigest, KnownImage> {
  const { images, leases, warn } = context;
  const lastUses = images.records().map((digest) => [digest, leases.lastUse(digest)] as const);
  const findReasons = reasonFinder(context);
  const known = new Map<BlobDigest, KnownImage>();
  for (const [digest, lastUse] of lastUses) {
    const record = images.record(digest, warn);
    if (!record) continue;
    const { references, reasons } = findReasons(record);
    const young: readonly Reason[] = Date.now() - lastUse < keepYoungerMs ? [{ kind: "young", lastUse }] : [];
    known.set(digest, { record, references, reasons: [...reasons, ...young], lastUse });
  }
  return known;
}

/** Reads what is written down, once for all images. */
function reasonFinder({
  images,
  leases,
  pins,
  layout,
  warn,
}: GcContext): (record: ImageRecord) => Pick<KnownImage, "references" | "reasons"> {
  const referencesOf = Map.groupBy(images.references(warn), ({ manifestDigest }) => manifestDigest);
  const leasesOf = Map.groupBy(leases.list(warn), ({ manifestDigest }) => manifestDigest);
  const pinned = new Set(pins.list(warn).map(({ reference, platform }) => `${reference}\0${platform}`));
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
