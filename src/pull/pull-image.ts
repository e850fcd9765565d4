/** One pull: the store's image if the policy allows it, otherwise the source's. Damage found on the way is fetched once more. */
import { ShaleError } from "../errors.ts";
import { formatPlatform } from "../image/platform.ts";
import type { ArchiveReference, LayoutReference } from "../image/reference.ts";
import { namedDigest, type ImageRecord, type Images } from "../store/images.ts";
import { cachedImage } from "./cached-image.ts";
import { Holds } from "./holds.ts";
import { milliseconds, type PulledImage, type PullRequest, type RunningPull } from "./pull-request.ts";
import type { BootStore } from "./pull-store.ts";

const { existsSync } = process.getBuiltinModule("node:fs");

type LocalReference = ArchiveReference | LayoutReference;

export async function pullImage(store: BootStore, request: PullRequest): Promise<PulledImage> {
  const { relay } = request;
  const started = milliseconds();
  using holds = new Holds();
  const running = { holds, images: store.images.reportingTo(relay.warn), started };
  const image = (await imageOfStore(store, request, running)) ?? (await fetchAndHeal(store, request, running));
  holds.release();
  relay.send({ kind: "complete", manifestDigest: image.record.manifestDigest, cached: image.cached });
  if (!image.cached) (await store.whole()).keepBudget();
  return image;
}

async function imageOfStore(store: BootStore, request: PullRequest, running: RunningPull): Promise<PulledImage | undefined> {
  if (request.force || (asksSource(request) && !(await isUnchanged(request, running.images)))) return undefined;
  try {
    const image = await cachedImage(store, request, running);
    if (image) ensureReference(store, request, image.record);
    if (image && request.policy === "always") reportUnchanged(request, image);
    return image;
  } catch (error) {
    if (request.policy === "never" || !isDamage(error)) throw error;
    request.relay.warn(error.code, error.message);
    // lock order: tree locks are released before a lease is taken
    running.holds.release();
    return undefined;
  }
}

/** Local sources are always read again, since that costs no network; once the file is gone, the store's image serves. */
function asksSource({ policy, reference }: PullRequest): boolean {
  return policy === "always" || (policy === "if-missing" && reference.transport !== "docker" && localExists(reference));
}

function localExists(reference: LocalReference): boolean {
  const path = reference.transport === "oci" ? reference.directory : reference.file;
  return path === "-" || existsSync(path);
}

/** True if the source names what the store has. Compares digests in one round trip; a digest in the reference needs none. */
async function isUnchanged(request: PullRequest, images: Images): Promise<boolean> {
  const { reference, name, platform, relay, signal, source, verifyManifest } = request;
  const known = images.reference(name, formatPlatform(platform));
  if (!known) return false;
  const pinned = reference.transport === "docker" && reference.digest !== undefined;
  if (!pinned) {
    const named = await (await source()).resolveDigest(reference, { signal, onEvent: relay.warnOfRetry });
    if (named !== namedDigest(known)) return false;
  }
  if (verifyManifest === undefined) return true;
  const { readStoredManifest } = await import("./resolve-image.ts");
  const manifest = readStoredManifest(images, known.manifestDigest);
  await (manifest && verifyManifest(manifest.descriptor, manifest.bytes));
  return manifest !== undefined;
}

/** Reports the result of an `always` check that found nothing new. */
function reportUnchanged({ relay, eager }: PullRequest, { record: { manifestDigest, layers }, name }: PulledImage): void {
  relay.send({ kind: "resolving", reference: name });
  const summary = layers.map(({ diffId, digest, size }) => ({ diffId, digest, size }));
  relay.send({ kind: "resolved", reference: name, manifestDigest, layers: summary });
  for (const [index, { diffId }] of layers.entries()) {
    relay.send({ kind: "layer-skipped", reason: "in-store", diffId, index });
    if (eager) relay.send({ kind: "tree-skipped", diffId, index });
  }
}

/** Adds the reference if the image was found by its digest alone. */
function ensureReference(store: BootStore, { reference, name, platform }: PullRequest, { manifestDigest }: ImageRecord): void {
  const key = { reference: name, platform: formatPlatform(platform) };
  if (store.images.reference(key.reference, key.platform)) return;
  const digest = reference.transport === "docker" ? reference.digest : undefined;
  store.images.writeReference({ ...key, manifestDigest, ...(digest && digest !== manifestDigest && { namedDigest: digest }) });
  store.leases.touch(manifestDigest);
}

/** Damage in the store shows when the data is used. Then everything is fetched once more; intact data is kept. */
async function fetchAndHeal(store: BootStore, request: PullRequest, running: RunningPull): Promise<PulledImage> {
  if (request.policy === "never") {
    const message = `${JSON.stringify(request.name)} is not in the store and the policy is never; pull it with another policy`;
    throw new ShaleError("NOT_CACHED", message, { reference: request.name });
  }
  const { fetchImage } = await import("./fetch-image.ts");
  const whole = await store.whole();
  try {
    return await fetchImage(whole, request, running);
  } catch (error) {
    if (request.force || !isDamage(error)) throw error;
    request.relay.warn(error.code, error.message);
    // a forced pull takes exclusively the locks that it shared until now
    running.holds.release();
    return fetchImage(whole, { ...request, force: true }, running);
  }
}

export function isDamage(error: unknown): error is ShaleError<"STORE_DAMAGED" | "SIDECAR_INVALID"> {
  return ShaleError.is(error, "STORE_DAMAGED") || ShaleError.is(error, "SIDECAR_INVALID");
}
