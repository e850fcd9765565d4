/**
 * The main-thread side of ingest: feeds blobs to the workers, collects their results for each layer, checks both digests, and returns a staged
 * layer. It does not block the event loop: it copies bytes to shared memory, and the workers do the rest.
 */
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { mkdirSync, rmSync } from "node:fs";
import { isErrno, type ShaleError } from "../../errors.ts";
import type { Descriptor } from "../../image/descriptor.ts";
import { checkLayerDigest, type DiffId } from "../../image/digest.ts";
import { processUmask } from "../../store/attributes.ts";
import { MadeInodes } from "../../store/made-inodes.ts";
import { revive, type WorkerPool } from "../../system/worker-pool.ts";
import type { ChunkWriterOptions } from "../chunks/chunk-writer.ts";
import type { EngineEvent, IngestCounts, IngestTaskMap, OpenRequest, RunRequest, StagedTreeTask } from "./engine.ts";
import type { InflatedLayer, LayerTask } from "./layer-inflater.ts";
import { layerLimitError, type LayerLimits } from "../layer/layer-limits.ts";
import { partBytes, partTransfer, type Part } from "../layer/part.ts";
import { createRing, RingWriter } from "./ring.ts";
import type { SettledLayer, SettleRequest } from "../layer/settle-layer.ts";
import { createSlabMemory, Slabs } from "./slabs.ts";

export interface IngestOptions {
  readonly pool: WorkerPool<IngestTaskMap>;
  /** chunks/ of the store. */
  readonly chunks: string;
  readonly writer: Omit<ChunkWriterOptions, "staging" | "chunks" | "umask" | "made">;
  /** The handle's staging directory. */
  readonly staging: string;
  /** Counts of an earlier Ingest of the handle. */
  readonly counts?: IngestCounts | undefined;
}

export interface LayerRequest {
  readonly diffId: DiffId;
  readonly descriptor: Descriptor;
  /** The blob from its first byte. */
  readonly blob: AsyncIterable<Uint8Array>;
  /** Directory for sidecar and headers; created here. */
  readonly directory: string;
  /** Where the layer's tree is staged, in the native profile, as far as the entries alone determine it. */
  readonly tree?: StagedTreeTask | undefined;
  readonly buildIndex: boolean;
  /** Read the content of existing chunks. */
  readonly verifyContent: boolean;
  /** Discard all knowledge of existing chunks: some were removed since this handle saw them. Default false. */
  readonly forget?: boolean;
  readonly limits: LayerLimits;
  readonly signal?: AbortSignal | undefined;
  readonly onDownloaded: (bytes: number) => void;
  readonly onUnpacked: (bytes: number, entries: number) => void;
  readonly onSettling: () => void;
}

export interface IngestedLayer extends SettledLayer {
  /** Bytes of the uncompressed layer. */
  readonly size: number;
}

interface HashedLayer extends InflatedLayer {
  readonly diffId: DiffId;
}

interface InFlight {
  readonly parts: Part[];
  readonly done: PromiseWithResolvers<HashedLayer>;
  readonly ring: RingWriter;
  readonly progress: Float64Array;
  inflated: InflatedLayer | undefined;
  diffId: DiffId | undefined;
  received: number;
  entries: number;
  /** Bytes of memory of the parts, and their limit. */
  metadata: number;
  readonly metadataBytes: number;
}

export class Ingest {
  readonly #options: IngestOptions;
  readonly #layers = new Map<number, InFlight>();
  readonly #slabs: Slabs;
  /** Inodes created since the last time that no layer was in flight. */
  readonly made: MadeInodes = new MadeInodes();
  readonly #ports: MessagePort[] = [];
  readonly #opened: Promise<unknown>;
  #next = 0;
  /** Sum over all runs so far. */
  #counts: IngestCounts;
  #running = 0;
  #failure: unknown;

  constructor(options: IngestOptions) {
    this.#options = options;
    this.#counts = options.counts ?? { newChunks: 0, newBytes: 0 };
    const memory = createSlabMemory(options.pool.size);
    this.#slabs = new Slabs(memory);
    const stale: string[] = [];
    const opens = Array.from({ length: options.pool.size }, (_, worker) => this.#open(worker, memory, stale));
    // no running worker writes there any more
    this.#opened = Promise.all(opens).then(() => stale.forEach((directory) => rmSync(directory, { recursive: true, force: true })));
    this.#opened.catch(() => undefined);
  }

  /** Chunks and bytes written so far; complete when no layer is in flight. */
  get counts(): IngestCounts {
    return this.#counts;
  }

  /**
   * Ingests one layer to its staged directory. Chunks are published at once; nothing else is visible. When it throws, no worker writes in
   * the staged tree any more.
   * @throws DIGEST_MISMATCH, LAYER_CORRUPT, TAR_INVALID, TAR_UNSUPPORTED, LIMIT_*, WORKER_FAILED, and errors of the blob
   */
  async ingest(request: LayerRequest): Promise<IngestedLayer> {
    await this.#opened;
    if (this.failed) throw this.#failure;
    const layer = this.#next++;
    await this.#run(request, layer);
    try {
      const { parts, size } = await this.#inflate(request, layer);
      if (this.failed) throw this.#failure;
      request.onSettling();
      mkdirSync(request.directory, { mode: 0o700 });
      const { diffId, directory, tree, buildIndex, limits } = request;
      const settle: SettleRequest = { diffId, directory, tree: tree?.directory, buildIndex, limits, parts, chunks: this.#options.chunks };
      const settling = this.#options.pool.run("ingest/settle", settle, { transfer: parts.flatMap(partTransfer) });
      this.#slabs.changed();
      return { ...(await settling), size };
    } catch (error) {
      await this.#leave(layer);
      throw error;
    } finally {
      await this.#rest();
    }
  }

  close(): void {
    for (const port of this.#ports) port.close();
  }

  /** A worker died with the state of any layer and its slabs: fails all layers in flight. This Ingest cannot be used again. */
  fail(error: unknown): void {
    this.#failure ??= error;
    for (const layer of this.#layers.keys()) this.#fail(layer, error);
    this.close();
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** `stale` receives the directories of an earlier Ingest, which may contain files of a worker that died. */
  #open(worker: number, memory: OpenRequest["memory"], stale: string[]): Promise<unknown> {
    const { pool, chunks, writer, staging } = this.#options;
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (event: EngineEvent) => this.#receive(event));
    port1.unref();
    this.#ports.push(port1);
    let own = `${staging}/chunks-${worker}`;
    for (let number = worker; !makeFresh(own); own = `${staging}/chunks-${(number += pool.size)}`) stale.push(own);
    const request: OpenRequest = {
      worker,
      workers: pool.size,
      memory,
      port: port2,
      chunks: { ...writer, chunks, staging: own, umask: processUmask(), made: this.made.memory },
    };
    return pool.run("ingest/open", request, { worker, transfer: [port2] });
  }

  async #run({ verifyContent, tree, forget = false }: LayerRequest, layer: number): Promise<void> {
    // other processes may have changed chunks meanwhile
    if (this.#running++ === 0 || forget) this.made.clear();
    const { pool } = this.#options;
    const request: RunRequest = { verifyContent, layer, tree };
    await Promise.all(Array.from({ length: pool.size }, (_, worker) => this.#post("ingest/run", request, worker)));
  }

  /** A running worker answers between two slabs. */
  async #leave(layer: number): Promise<void> {
    const { pool } = this.#options;
    await Promise.allSettled(Array.from({ length: pool.size }, (_, worker) => this.#post("ingest/leave", layer, worker)));
  }

  /** Lets the workers sleep after the last layer, and adds up their counts. */
  async #rest(): Promise<void> {
    if (--this.#running > 0 || this.failed) return;
    const { pool } = this.#options;
    const pauses = Array.from({ length: pool.size }, (_, worker) => this.#post("ingest/pause", undefined, worker));
    for (const result of await Promise.allSettled(pauses)) {
      if (result.status === "rejected") continue;
      const { newChunks, newBytes } = this.#counts;
      this.#counts = { newChunks: newChunks + result.value.newChunks, newBytes: newBytes + result.value.newBytes };
    }
  }

  /** Wakes a worker that waits for slabs, so that it reads its requests. */
  #post<Kind extends keyof IngestTaskMap>(
    kind: Kind,
    payload: IngestTaskMap[Kind]["request"],
    worker: number,
  ): Promise<IngestTaskMap[Kind]["result"]> {
    const reply = this.#options.pool.run(kind, payload, { worker });
    this.#slabs.changed();
    return reply;
  }

  async #inflate(request: LayerRequest, layer: number): Promise<{ parts: Part[]; size: number }> {
    const { descriptor, limits, signal } = request;
    const ring = createRing();
    const progress = new SharedArrayBuffer(8);
    const inFlight: InFlight = {
      parts: [],
      done: Promise.withResolvers(),
      ring: new RingWriter(ring, () => this.#slabs.changed()),
      progress: new Float64Array(progress),
      inflated: undefined,
      diffId: undefined,
      received: 0,
      entries: 0,
      metadata: 0,
      metadataBytes: limits.metadataBytes,
    };
    // it may reject before it is awaited
    inFlight.done.promise.catch(() => undefined);
    this.#layers.set(layer, inFlight);
    const abort = (): void => this.#fail(layer, signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      signal?.throwIfAborted();
      if (this.failed) throw this.#failure;
      const task: LayerTask = { layer, ring, progress, blobDigest: descriptor.digest, blobBytes: descriptor.size, limits };
      await this.#post("ingest/layer", task, layer);
      const [inflated] = await Promise.all([inFlight.done.promise, this.#feed(request, inFlight)]);
      verify(inflated, request);
      return { parts: inFlight.parts, size: inflated.size };
    } catch (error) {
      inFlight.ring.abort();
      throw error;
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#layers.delete(layer);
    }
  }

  async #feed({ blob, onDownloaded, onUnpacked }: LayerRequest, inFlight: InFlight): Promise<void> {
    const report = (): void => onUnpacked(inFlight.progress[0]!, inFlight.entries);
    const timer = setInterval(report, 100);
    try {
      for await (const chunk of blob) {
        if (!(await inFlight.ring.write(chunk))) break;
        onDownloaded(chunk.length);
      }
      inFlight.ring.end();
      await inFlight.done.promise;
      report();
    } finally {
      clearInterval(timer);
    }
  }

  #receive(event: EngineEvent): void {
    const layer = this.#layers.get(event.layer);
    if (!layer) return;
    switch (event.kind) {
      case "part":
        layer.parts[event.part.sequence] = event.part;
        layer.received++;
        layer.entries += event.part.count;
        layer.metadata += partBytes(event.part);
        if (layer.metadata > layer.metadataBytes) return this.#fail(event.layer, tooMuchMetadata(layer.metadataBytes));
        break;
      case "inflated":
        layer.inflated = event.result;
        break;
      case "hashed":
        layer.diffId = event.diffId;
        break;
      case "failed":
        return this.#fail(event.layer, revive(event.failure));
    }
    const { inflated, diffId, received } = layer;
    if (inflated && diffId && received === inflated.parts) layer.done.resolve({ ...inflated, diffId });
  }

  #fail(layer: number, error: unknown): void {
    const inFlight = this.#layers.get(layer);
    inFlight?.ring.abort();
    inFlight?.done.reject(error);
  }
}

/** False if the directory exists. */
function makeFresh(directory: string): boolean {
  try {
    mkdirSync(directory, { mode: 0o700 });
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

function tooMuchMetadata(maximum: number): ShaleError {
  const what = "has names, attributes and headers that take more memory than is allowed";
  return layerLimitError("LIMIT_METADATA_BYTES", what, { limit: "metadataBytes", maximum });
}

/** Checks the blob digest first: wrong bytes say nothing about the diff ID in the config. */
function verify(inflated: HashedLayer, { descriptor, diffId }: LayerRequest): void {
  checkLayerDigest("blob", descriptor.digest, inflated.blobDigest);
  checkLayerDigest("diff ID", diffId, inflated.diffId);
}
