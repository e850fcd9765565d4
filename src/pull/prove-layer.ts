/** A layer that the store has, and that the image's repository has yet to show that it has, too: fetched, verified, and let go. */
import { rmSync } from "node:fs";
import { open } from "node:fs/promises";
import type { LayerIdentity } from "../image/manifest.ts";
import type { Reference } from "../image/reference.ts";
import type { VerifyBlobRequest } from "../ingest/pipeline/verify-blob.ts";
import type { SourceEvent } from "../source/source.ts";
import { FileLock } from "../system/file-lock.ts";
import { isWrongBlob } from "./layer-blob.ts";
import { proofOf, type LayerContext, type LayerTraffic } from "./layer-context.ts";
import { refuseLargeBlob } from "./limits.ts";

type Layer = LayerIdentity & { readonly index: number };

/** Whose proofs count for what a reference names; empty for an archive from standard input, which could be anybody's. */
export function repositoryOf(reference: Reference): string {
  if (reference.transport === "docker") return `${reference.registry}/${reference.repository}`;
  if (reference.transport === "oci") return `oci:${reference.directory}`;
  return reference.file === "-" ? "" : `${reference.transport}:${reference.file}`;
}

/** What came of the blob; undefined when no proof is asked for, or it is there. Wrong bytes are asked for once more. */
export async function proveLayer(layer: Layer, context: LayerContext): Promise<LayerTraffic | undefined> {
  const { core, provenFor, relay, signal } = context;
  if (provenFor === undefined) return undefined;
  const proof = proofOf(layer, provenFor);
  if (core.proofs.has(proof)) return undefined;
  using lock = await FileLock.acquire(core.layout.layerLock(layer.diffId), { signal });
  void lock;
  if (core.proofs.has(proof)) return undefined;
  refuseLargeBlob(layer.descriptor, context.limits.blobBytes);
  const avoid = new Set<string>();
  const first = await fetchAndVerify(layer, context, avoid).catch((error: unknown) => {
    if (signal.aborted || !isWrongBlob(error)) throw error;
    relay.warn(error.code, error.message);
    return undefined;
  });
  const fetched = first ?? (await fetchAndVerify(layer, context, avoid));
  core.proofs.add(proof);
  return { fetched, resumed: 0, ingested: false };
}

/** Nothing that the store has of the blob is used: neither kept blobs nor what another pull began to fetch. */
async function fetchAndVerify({ descriptor, diffId, index }: Layer, context: LayerContext, avoid: Set<string>): Promise<number> {
  const { core, relay, source, reference, limits, signal } = context;
  const path = core.staging.fresh("proof");
  const onEvent = (event: SourceEvent): void => {
    if (event.kind === "serving") avoid.add(event.host);
    relay.send({ ...event, diffId, index });
  };
  const total = descriptor.size;
  let bytes = 0;
  relay.send({ kind: "download-started", diffId, index, total });
  try {
    await using file = await open(path, "wx", 0o600);
    for await (const chunk of source.readBlob(reference, descriptor, { signal, avoid: new Set(avoid), onEvent })) {
      await file.writeFile(chunk);
      bytes += chunk.length;
      relay.advance({ kind: "download-advanced", diffId, index, bytes, total });
    }
    relay.send({ kind: "download-complete", diffId, index, bytes });
    const { digest: blobDigest, size: blobBytes } = descriptor;
    await core.pool.run<void>("ingest/verify-blob", { path, blobDigest, blobBytes, diffId, limits } satisfies VerifyBlobRequest);
    signal.throwIfAborted();
    return bytes;
  } finally {
    rmSync(path, { force: true });
  }
}
