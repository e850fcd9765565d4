/** Checks references, image records, manifests and configs against each other. */
import { existsSync, rmSync } from "node:fs";
import { ShaleError } from "../errors.ts";
import { computeDigest } from "../image/compute-digest.ts";
import { parseBlobDigest, type BlobDigest } from "../image/digest.ts";
import { Images, type ImageRecord } from "../store/images.ts";
import { parseDigestName } from "../store/layout.ts";
import { readChecked } from "../store/checked-file.ts";
import { readIfExists } from "../system/existing-file.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import { foreignNames } from "./check-directories.ts";
import type { FsckContext } from "./fsck-context.ts";
import { finding, type Finding, type FindingKind } from "./finding.ts";

/** Fills `context.records` and `context.references` with the intact ones. */
export async function* checkImages(context: FsckContext): AsyncGenerator<Finding, void, undefined> {
  const { layout } = context;
  const images = new Images(layout, () => {});
  for (const directory of [layout.manifests, layout.configs, layout.records])
    yield* foreignNames(context, directory, (name) => parseDigestName(name) !== undefined);
  for (const kind of ["manifest", "config"] as const) yield* checkDocuments(context, kind);
  for (const name of namesIn(layout.records).toSorted()) {
    const digest = parseDigestName(name);
    if (digest !== undefined) yield* checkRecord(context, images, digest);
  }
  yield* checkReferences(context);
  yield* checkLeases(context);
  yield* unusedDocuments(context);
}

async function* checkDocuments(context: FsckContext, kind: "manifest" | "config"): AsyncGenerator<Finding, void, undefined> {
  const { layout } = context;
  for (const name of namesIn(layout[`${kind}s`]).toSorted()) {
    const expected = parseDigestName(name);
    if (expected === undefined) continue;
    const path = layout[kind](expected);
    const bytes = readIfExists(path);
    // the file was removed meanwhile
    if (!bytes) continue;
    const found = computeDigest(bytes, expected);
    if (found === expected) continue;
    const damaged = finding(`${kind}-damaged`, context.relative(path), { expected, found });
    yield await context.corrected(damaged, "removed; the next pull fetches it", () => rmSync(path, { force: true }));
  }
}

async function* checkRecord(context: FsckContext, images: Images, digest: BlobDigest): AsyncGenerator<Finding, void, undefined> {
  const { layout } = context;
  const object = context.relative(layout.imageRecord(digest));
  const record = readRecord(images, digest);
  const remove = (): boolean => withLease(context, digest, () => rmSync(layout.imageRecord(digest), { force: true }));
  const outcome = "record removed; the next pull makes it again";
  if (!record) {
    if (!existsSync(layout.imageRecord(digest))) return;
    yield await context.corrected(finding("record-damaged", object), outcome, remove);
    return;
  }
  const missing: FindingKind[] = [];
  if (!existsSync(layout.manifest(digest))) missing.push("manifest-missing");
  if (!existsSync(layout.config(record.configDigest))) missing.push("config-missing");
  let gone = false;
  for (const kind of missing) {
    const path = kind === "manifest-missing" ? layout.manifest(digest) : layout.config(record.configDigest);
    const found = await context.corrected(finding(kind, context.relative(path), { images: [digest] }), outcome, remove);
    gone ||= found.state === "corrected";
    yield found;
  }
  if (!gone) context.records.set(digest, record);
  for (const { diffId } of record.layers) {
    if (!existsSync(layout.layer(diffId))) yield finding("record-layer-missing", object, { expected: diffId, found: "missing" });
  }
}

/** Returns undefined for a damaged record, also if its checksum is right but its fields are invalid. */
function readRecord(images: Images, digest: BlobDigest): ImageRecord | undefined {
  try {
    const record = images.record(digest);
    parseBlobDigest(record?.configDigest);
    return record;
  } catch (error) {
    if (error instanceof TypeError || ShaleError.is(error)) return undefined;
    throw error;
  }
}

/** Does nothing and returns false if the lease is held, because the image is in use. */
function withLease(context: FsckContext, digest: BlobDigest, work: () => void): boolean {
  using lease = FileLock.try(context.layout.lease(digest));
  if (!lease) return false;
  work();
  return true;
}

async function* checkReferences(context: FsckContext): AsyncGenerator<Finding, void, undefined> {
  const images = new Images(context.layout, () => {});
  for (const name of namesIn(context.layout.references).toSorted()) {
    const path = context.layout.reference(name);
    const object = context.relative(path);
    const remove = (): void => rmSync(path, { force: true });
    const reference = images.referenceIn(name);
    if (!reference) yield await context.corrected(finding("reference-damaged", object), "removed; the next pull makes it again", remove);
    else if (!context.records.has(reference.manifestDigest)) {
      const found = finding("reference-dangling", object, {
        expected: reference.manifestDigest,
        found: "missing",
        images: [reference.reference],
      });
      yield await context.corrected(found, "removed; the next pull makes it again", remove);
    } else context.references.push(reference);
  }
}

/** Checks named leases. A damaged one keeps nothing, so its owner must take it again. */
async function* checkLeases(context: FsckContext): AsyncGenerator<Finding> {
  for (const name of namesIn(context.layout.leases).toSorted()) {
    const path = context.layout.namedLease(name);
    if (readChecked(path, () => {}) !== undefined || !existsSync(path)) continue;
    yield await context.corrected(finding("lease-damaged", context.relative(path)), "removed; take the lease again", () =>
      rmSync(path, { force: true }),
    );
  }
}

async function* unusedDocuments(context: FsckContext): AsyncGenerator<Finding, void, undefined> {
  const used = new Set<string>();
  for (const { manifestDigest, configDigest } of context.records.values())
    for (const digest of [manifestDigest, configDigest]) used.add(digest);
  for (const kind of ["manifest", "config"] as const) {
    for (const name of namesIn(context.layout[`${kind}s`]).toSorted()) {
      const digest = parseDigestName(name);
      if (digest && !used.has(digest)) yield finding("document-unused", context.relative(context.layout[kind](digest)));
    }
  }
}
