/**
 * The main thread's side of ingest: feeds blobs to the workers, gathers what they made of each layer, checks both digests, and
 * hands over a staged layer. Nothing blocks the event loop: bytes are copied into shared memory, all else is the workers'.
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
  /** What an Ingest before this one had made. */
  readonly counts?: IngestCounts | undefined;
}

export interface LayerRequest {
  readonly diffId: DiffId;
  readonly descriptor: Descriptor;
  /** The blob from its first byte. */
  readonly blob: AsyncIterable<Uint8Array>;
  /** Where sidecar and headers go: made here, empty before. */
  readonly directory: string;
  /** Where the layer's tree is made, in the native profile, as far as the entries alone tell. */
  readonly tree?: StagedTreeTask | undefined;
  readonly buildIndex: boolean;
  /** Re-read chunks that are there already. */
  readonly verifyContent: boolean;
  /** Chunks were removed since this handle made or saw them: trust no memory of any. Default false. */
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
  /** Bytes of memory that the parts take, and may take. */
  metadata: number;
  readonly metadataBytes: number;
}

export class Ingest {
  readonly #options: IngestOptions;
  readonly #layers = new Map<number, InFlight>();
  readonly #slabs: Slabs;
  /** What was made since no layer was in flight. */
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
    // no worker that lives writes there any more
    this.#opened = Promise.all(opens).then(() => stale.forEach((directory) => rmSync(directory, { recursive: true, force: true })));
    this.#opened.catch(() => undefined);
  }

  /** Chunks and bytes written since this was made; complete when no layer is in flight. */
  get counts(): IngestCounts {
    return this.#counts;
  }

  /**
   * Ingests one layer to its staged directory. Chunks are published as they come; nothing else is visible. When it throws, nobody writes
   * in the staged tree any more.
   * @throws DIGEST_MISMATCH, LAYER_CORRUPT, TAR_INVALID, TAR_UNSUPPORTED, LIMIT_*, WORKER_FAILED, and what the blob throws
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

  /** A worker died, and with it what it had of any layer and the slabs that it held: all layers in flight fail, and this is of no more use. */
  fail(error: unknown): void {
    this.#failure ??= error;
    for (const layer of this.#layers.keys()) this.#fail(layer, error);
    this.close();
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** `stale`: is given what an Ingest before this one left, which may hold files of a worker that died. */
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
    // what others may have changed meanwhile
    if (this.#running++ === 0 || forget) this.made.clear();
    const { pool } = this.#options;
    const request: RunRequest = { verifyContent, layer, tree };
    await Promise.all(Array.from({ length: pool.size }, (_, worker) => this.#post("ingest/run", request, worker)));
  }

  /** A worker that lives answers between two slabs. */
  async #leave(layer: number): Promise<void> {
    const { pool } = this.#options;
    await Promise.allSettled(Array.from({ length: pool.size }, (_, worker) => this.#post("ingest/leave", layer, worker)));
  }

  /** Lets the workers sleep when the last layer is done, and takes their counts. */
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

  /** A worker that waits for slabs looks at its requests when something changes. */
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
    // it may fail before anybody waits for it
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

/** False when it is there. */
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

/** The blob digest first: bytes that are not what the manifest names prove nothing about the config. */
function verify(inflated: HashedLayer, { descriptor, diffId }: LayerRequest): void {
  checkLayerDigest("blob", descriptor.digest, inflated.blobDigest);
  checkLayerDigest("diff ID", diffId, inflated.diffId);
}
