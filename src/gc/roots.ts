/** Roots: why an image stays. */
import type { BlobDigest } from "../image/digest.ts";
import type { ImageRecord, ReferenceRecord } from "../store/images.ts";
import type { GcContext } from "./context.ts";

export type Reason =
  | { readonly kind: "reference"; readonly reference: string; readonly platform: string }
  | { readonly kind: "lease"; readonly name: string; readonly expires?: number }
  /** Used or pulled a moment ago. */
  | { readonly kind: "young"; readonly lastUse: number };

export interface KnownImage {
  readonly record: ImageRecord;
  readonly references: readonly ReferenceRecord[];
  readonly reasons: readonly Reason[];
  /** ms since 1970. */
  readonly lastUse: number;
}

/** Every image of the store with what keeps it. Handles' leases are not listed: whoever removes finds them held. */
export function readImages({ images, leases, warn }: GcContext, keepYounger: number): Map<BlobDigest, KnownImage> {
  const references = Map.groupBy(images.references(warn), ({ manifestDigest }) => manifestDigest);
  const named = Map.groupBy(leases.list(warn), ({ manifestDigest }) => manifestDigest);
  const known = new Map<BlobDigest, KnownImage>();
  for (const digest of images.records()) {
    const record = images.record(digest, warn);
    if (!record) continue;
    const lastUse = leases.lastUse(digest);
    const own = references.get(digest) ?? [];
    const reasons: Reason[] = own.map(({ reference, platform }) => ({ kind: "reference", reference, platform }));
    for (const { name, expires } of named.get(digest) ?? [])
      reasons.push({ kind: "lease", name, ...(expires !== undefined && { expires }) });
    if (Date.now() - lastUse < keepYounger) reasons.push({ kind: "young", lastUse });
    known.set(digest, { record, references: own, reasons, lastUse });
  }
  return known;
}
