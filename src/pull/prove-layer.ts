/** Proves that an image's repository has a layer that the store got elsewhere: fetches the blob, verifies it, and discards it. */
import { rmSync } from "node:fs";
import { open } from "node:fs/promises";
import type { Reference } from "../image/reference.ts";
import type { SourceEvent } from "../source/source.ts";
import { FileLock } from "../system/file-lock.ts";
import { isWrongBlob } from "./layer-blob.ts";
import { proofOf, type LayerContext, type LayerTraffic, type NumberedLayer } from "./layer-context.ts";
import { refuseLargeBlob } from "./limits.ts";

/** The repository that proofs are recorded for; empty for an archive from standard input, whose origin is unknown. */
export function repositoryOf(reference: Reference): string {
  if (reference.transport === "docker") return `${reference.registry}/${reference.repository}`;
  if (reference.transport === "oci") return `oci:${reference.directory}`;
  return reference.file === "-" ? "" : `${reference.transport}:${reference.file}`;
}

/** Returns what was fetched; undefined if no proof is required or it exists. A wrong blob is fetched once more. */
export async function proveLayer(layer: NumberedLayer, context: LayerContext): Promise<LayerTraffic | undefined> {
  const { store, provenFor, relay, signal } = context;
  if (provenFor === undefined) return undefined;
  const proof = proofOf(layer, provenFor);
  if (store.proofs.has(proof)) return undefined;
  using lock = await FileLock.acquire(store.layout.layerLock(layer.diffId), { signal });
  void lock;
  if (store.proofs.has(proof)) return undefined;
  refuseLargeBlob(layer.descriptor, context.limits.blobBytes);
  const avoid = new Set<string>();
  const first = await fetchAndVerify(layer, context, avoid).catch((error: unknown) => {
    if (signal.aborted || !isWrongBlob(error)) throw error;
    relay.warn(error.code, error.message);
    return undefined;
  });
  const fetched = first ?? (await fetchAndVerify(layer, context, avoid));
  store.proofs.add(proof);
  return { fetched, resumed: 0, ingested: false };
}

/** Uses no bytes that the store has of the blob: neither a kept blob nor an interrupted download. */
async function fetchAndVerify({ descriptor, diffId, index }: NumberedLayer, context: LayerContext, avoid: Set<string>): Promise<number> {
  const { store, relay, source, reference, limits, signal } = context;
  const path = store.staging.fresh("proof");
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
    await store.pool.run("ingest/verify-blob", { path, blobDigest, blobBytes, diffId, limits });
    signal.throwIfAborted();
    return bytes;
  } finally {
    rmSync(path, { force: true });
  }
}
