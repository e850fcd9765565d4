/** The pull: what the policy allows of the store, else the source; what turns out damaged is fetched once more. */
import { formatPlatform } from "../image/platform.ts";
import type { ArchiveReference, LayoutReference } from "../image/reference.ts";
import { namedDigest } from "../store/images.ts";
import { cachedImage } from "./cached-image.ts";
import { Holds } from "./holds.ts";
import type { Image } from "../api/image.ts";
import { isDamage, milliseconds, tellRetries, type PullRequest } from "./pull-request.ts";

const { existsSync } = process.getBuiltinModule("node:fs");

type LocalReference = ArchiveReference | LayoutReference;

export async function pullImage(request: Omit<PullRequest, "holds">): Promise<Image> {
  const { relay } = request;
  const started = milliseconds();
  using holds = new Holds();
  const held = { ...request, holds };
  const image = (await fromStore(held, started)) ?? (await fetchAndHeal(held, started));
  holds.release();
  relay.send({ kind: "complete", manifestDigest: image.manifestDigest, cached: image.cached });
  if (!image.cached) (await request.core.whole()).keepBudget();
  return image;
}

async function fromStore(request: PullRequest, started: number): Promise<Image | undefined> {
  if (request.force || (looksAtSource(request) && !(await isUnchanged(request)))) return undefined;
  try {
    const image = await cachedImage(request, started);
    if (image) ensureReference(request, image);
    if (image && request.policy === "always") tellUnchanged(request, image);
    return image;
  } catch (error) {
    if (request.policy === "never" || !isDamage(error)) throw error;
    request.relay.warn(error.code, error.message);
    // trees come after leases in the order of locks
    request.holds.release();
    return undefined;
  }
}

/** A look at what lies on this machine costs nothing, and a file means what it holds now; once it is gone, what the store has of it will do. */
function looksAtSource({ policy, reference }: PullRequest): boolean {
  return policy === "always" || (policy === "if-missing" && reference.transport !== "docker" && localExists(reference));
}

function localExists(reference: LocalReference): boolean {
  const path = reference.transport === "oci" ? reference.directory : reference.file;
  return path === "-" || existsSync(path);
}

/** True when the registry names what the store has: told by a digest, for one round trip; a digest in the reference needs none. */
async function isUnchanged({ core, reference, name, platform, relay, signal, source, verifyManifest }: PullRequest): Promise<boolean> {
  const warn = (code: string, message: string): void => relay.warn(code, message);
  const known = core.images.reference(name, formatPlatform(platform), warn);
  if (!known) return false;
  const pinned = reference.transport === "docker" && reference.digest !== undefined;
  if (!pinned && (await (await source()).resolveDigest(reference, { signal, onEvent: tellRetries(relay) })) !== namedDigest(known))
    return false;
  if (verifyManifest === undefined) return true;
  const { readStoredManifest } = await import("./resolve-image.ts");
  const manifest = readStoredManifest(core.images, known.manifestDigest);
  await (manifest && verifyManifest(manifest.descriptor, manifest.bytes));
  return manifest !== undefined;
}

/** Who asked for a look at the registry is told what it came to. */
function tellUnchanged({ core, relay, eager }: PullRequest, { reference, manifestDigest }: Image): void {
  const record = core.images.record(manifestDigest, (code, message) => relay.warn(code, message));
  const layers = (record?.layers ?? []).map(({ diffId, digest, size }) => ({ diffId, digest, size }));
  relay.send({ kind: "resolving", reference });
  relay.send({ kind: "resolved", reference, manifestDigest, layers });
  for (const [index, { diffId }] of layers.entries()) {
    relay.send({ kind: "layer-skipped", reason: "in-store", diffId, index });
    if (eager) relay.send({ kind: "tree-skipped", diffId, index });
  }
}

/** What was found by its digest alone is kept under this name too. */
function ensureReference({ core, reference, name, platform, relay }: PullRequest, { manifestDigest }: Image): void {
  const key = { reference: name, platform: formatPlatform(platform) };
  const warn = (code: string, message: string): void => relay.warn(code, message);
  if (core.images.reference(key.reference, key.platform, warn)) return;
  const digest = reference.transport === "docker" ? reference.digest : undefined;
  core.images.writeReference({ ...key, manifestDigest, ...(digest && digest !== manifestDigest && { namedDigest: digest }) });
  core.leases.touch(manifestDigest);
}

/** What is damaged in the store is found when it is used; then everything is fetched once more, and what is right is kept. */
async function fetchAndHeal(request: PullRequest, started: number): Promise<Image> {
  const { fetchImage } = await import("./fetch-image.ts");
  try {
    return await fetchImage(request, started);
  } catch (error) {
    if (request.force || !isDamage(error)) throw error;
    request.relay.warn(error.code, error.message);
    // by force it wants for itself what it has shared until now
    request.holds.release();
    return fetchImage({ ...request, force: true }, started);
  }
}
