/**
 * The worker side of ingest. Every worker inflates the layers assigned to it, and creates the files of any filled slab. If only one layer is in
 * flight, the next worker hashes its output and stores its large files, so that both cores are busy. Requests come through the worker pool;
 * parts and results go to the main thread through a port.
 */
import type { MessagePort } from "node:worker_threads";
import type { DiffId } from "../../image/digest.ts";
import { MadeInodes } from "../../store/made-inodes.ts";
import { pack, type Background, type Failure, type Handled, type Handlers, type Service, type Task } from "../../system/worker-pool.ts";
import { ChunkWriter, type ChunkWriterOptions } from "../chunks/chunk-writer.ts";
import { ingestSlab } from "./ingest-slab.ts";
import { LayerFollower } from "./layer-follower.ts";
import { LayerInflater, type InflatedLayer, type LayerTask } from "./layer-inflater.ts";
import { partTransfer, type Part } from "../layer/part.ts";
import { settleLayer, type SettledLayer, type SettleRequest } from "../layer/settle-layer.ts";
import { Slabs, type FilledSlab, type SlabMemory } from "./slabs.ts";
import { StagedPaths } from "../chunks/staged-paths.ts";
import { verifyBlob, type VerifyBlobRequest } from "./verify-blob.ts";

export interface OpenRequest {
  /** Number of this worker, from 0, and the number of workers. */
  readonly worker: number;
  readonly workers: number;
  readonly memory: SlabMemory;
  readonly port: MessagePort;
  readonly chunks: ChunkWriterOptions;
}

export interface RunRequest {
  readonly verifyContent: boolean;
  /** Number of the layer that is about to begin. */
  readonly layer: number;
  /** Undefined: files are created only in chunks/. */
  readonly tree: StagedTreeTask | undefined;
}

/** A tree that is staged while its layer is ingested. */
export interface StagedTreeTask {
  /** Empty, in staging. */
  readonly directory: string;
  /** Memory of MadeInodes: the inodes that the image's trees use. */
  readonly used: SharedArrayBuffer;
}

/** From a worker to the main thread, of layer number `layer`. */
export type EngineEvent =
  | { readonly kind: "part"; readonly layer: number; readonly part: Part }
  | { readonly kind: "inflated"; readonly layer: number; readonly result: InflatedLayer }
  | { readonly kind: "hashed"; readonly layer: number; readonly diffId: DiffId }
  | { readonly kind: "failed"; readonly layer: number; readonly failure: Failure };

export interface IngestCounts {
  readonly newChunks: number;
  readonly newBytes: number;
}

/** Number of ready slabs below which a worker inflates first. */
const ENOUGH_READY = 2;
const WAIT_MS = 20;

export interface IngestTaskMap {
  "ingest/open": Task<OpenRequest, undefined>;
  "ingest/run": Task<RunRequest, undefined>;
  "ingest/layer": Task<LayerTask, undefined>;
  /** With the layer's number. */
  "ingest/leave": Task<number, undefined>;
  /** The counts since the last pause. */
  "ingest/pause": Task<undefined, IngestCounts>;
  "ingest/settle": Task<SettleRequest, SettledLayer>;
  "ingest/verify-blob": Task<VerifyBlobRequest, void>;
}

export class Engine implements Background, Service<IngestTaskMap> {
  readonly background: this = this;
  readonly handlers: Handlers<IngestTaskMap> = {
    "ingest/open": (request: OpenRequest) => this.#open(request),
    "ingest/run": (request: RunRequest) => this.#run(request),
    "ingest/layer": (task: LayerTask) => this.#start(task),
    "ingest/leave": (layer: number) => this.#leave(layer),
    "ingest/pause": () => this.#pause(),
    "ingest/settle": (request: SettleRequest) => this.#settle(request),
    "ingest/verify-blob": async (request: VerifyBlobRequest) => ({ value: await verifyBlob(request) }),
  };
  #slabs: Slabs | undefined;
  #port: MessagePort | undefined;
  #chunks: ChunkWriter | undefined;
  #worker = 0;
  #workers = 1;
  #layers: LayerInflater[] = [];
  /** By the layer's number. */
  readonly #places = new Map<number, StagedPaths>();
  readonly #followers = new Map<number, LayerFollower>();
  /** Layers that were abandoned. Their remaining slabs are ignored, since earlier ones are missing. Numbers are not reused. */
  readonly #left = new Set<number>();
  #running = false;
  #seen = 0;

  get active(): boolean {
    return this.#running;
  }

  async step(): Promise<boolean> {
    this.#seen = this.#slabs!.eventCount;
    if (this.#followOne()) return true;
    if (this.#slabs!.readyCount < ENOUGH_READY && (await this.#inflateOne())) return true;
    return this.#createOne() || (await this.#inflateOne());
  }

  wait(): void {
    this.#slabs!.wait(this.#seen, WAIT_MS);
  }

  /** Called again after another worker died; starts with empty state. */
  #open({ worker, workers, memory, port, chunks }: OpenRequest): Handled<undefined> {
    this.#stop();
    this.#left.clear();
    this.#worker = worker;
    this.#workers = workers;
    this.#slabs = new Slabs(memory);
    this.#port = port;
    this.#chunks = new ChunkWriter(chunks);
    return { value: undefined };
  }

  #run({ verifyContent, layer, tree }: RunRequest): Handled<undefined> {
    this.#running = true;
    if (tree !== undefined) this.#places.set(layer, new StagedPaths(tree.directory, new MadeInodes(tree.used)));
    this.#chunks!.verifyContent ||= verifyContent;
    return { value: undefined };
  }

  #start(task: LayerTask): Handled<undefined> {
    let follower: number | undefined;
    const pass = (filled: FilledSlab): void => {
      follower ??= this.#slabs!.inflating === 1 ? (this.#worker + 1) % this.#workers : this.#worker;
      if (follower === this.#worker) this.#follow(filled);
      else this.#slabs!.pass(filled, follower);
    };
    this.#slabs!.addInflating(1);
    this.#layers.push(new LayerInflater(task, { slabs: this.#slabs!, pass }));
    return { value: undefined };
  }

  /** Abandons a layer: this worker writes nothing more in its tree, even if slabs of it remain. */
  #leave(layer: number): Handled<undefined> {
    this.#places.delete(layer);
    for (const inflater of this.#layers) if (inflater.task.layer === layer) this.#drop(inflater);
    this.#unfollow(layer);
    return { value: undefined };
  }

  /** Lets the worker sleep when no layer is in flight. Returns its counts since it began to run. */
  #pause(): Handled<IngestCounts> {
    const { newChunks, newBytes } = this.#chunks!;
    this.#stop();
    this.#chunks!.reset();
    return { value: { newChunks, newBytes } satisfies IngestCounts };
  }

  /** The remaining layers were abandoned; releases their memory and files. */
  #stop(): void {
    this.#running = false;
    for (const layer of this.#layers) this.#drop(layer);
    this.#places.clear();
    for (const layer of this.#followers.keys()) this.#unfollow(layer);
  }

  async #settle(request: SettleRequest): Promise<Handled<SettledLayer>> {
    const settled = await settleLayer(request, this.#chunks!);
    return { value: settled, transfer: [settled.inodes.buffer] };
  }

  /** One step of the first layer that can proceed. */
  async #inflateOne(): Promise<boolean> {
    for (const layer of this.#layers) {
      try {
        const result = layer.aborted ? "aborted" : await layer.step();
        if (result === "idle") continue;
        if (result === "busy") return true;
        this.#drop(layer);
        if (result !== "aborted") this.#send({ kind: "inflated", layer: layer.task.layer, result });
      } catch (error) {
        this.#drop(layer);
        this.#send({ kind: "failed", layer: layer.task.layer, failure: pack(error) });
      }
      return true;
    }
    return false;
  }

  /** Runs before all other work: only this worker can do it, and it produces slabs for the others. */
  #followOne(): boolean {
    const filled = this.#slabs!.takePassed(this.#worker);
    if (filled) this.#follow(filled);
    return filled !== undefined;
  }

  /** Slabs of a layer in order. */
  #follow(filled: FilledSlab): void {
    const { slab, layer, content } = filled;
    const followed = !this.#left.has(layer);
    try {
      if (followed) this.#take(filled);
    } catch (error) {
      this.#send({ kind: "failed", layer, failure: pack(error) });
      this.#unfollow(layer);
    } finally {
      if (followed && content === "entries") this.#slabs!.publish(filled);
      else this.#slabs!.release(slab);
    }
  }

  #take(filled: FilledSlab): void {
    const { layer, content } = filled;
    const follower = this.#followers.get(layer) ?? new LayerFollower();
    this.#followers.set(layer, follower);
    const part = follower.take(this.#bytes(filled), filled, { chunks: this.#chunks!, places: this.#places.get(layer) });
    if (part) this.#sendPart(layer, part);
    if (content !== "end") return;
    this.#send({ kind: "hashed", layer, diffId: follower.diffId() });
    this.#followers.delete(layer);
  }

  #unfollow(layer: number): void {
    const follower = this.#followers.get(layer);
    this.#left.add(layer);
    this.#followers.delete(layer);
    // last, since it may throw
    follower?.discard();
  }

  #createOne(): boolean {
    const ready = this.#slabs!.takeReady();
    if (!ready) return false;
    const { slab, layer } = ready;
    try {
      this.#sendPart(layer, ingestSlab(this.#bytes(ready), ready, this.#chunks!, this.#places.get(layer)));
    } catch (error) {
      this.#send({ kind: "failed", layer, failure: pack(error) });
    } finally {
      this.#slabs!.release(slab);
    }
    return true;
  }

  #bytes({ slab, end }: FilledSlab): Buffer {
    return this.#slabs!.bytes(slab).subarray(0, end);
  }

  #drop(layer: LayerInflater): void {
    this.#layers = this.#layers.filter((other) => other !== layer);
    this.#slabs!.addInflating(-1);
    layer.close();
  }

  #sendPart(layer: number, part: Part): void {
    this.#port!.postMessage({ kind: "part", layer, part } satisfies EngineEvent, partTransfer(part));
  }

  #send(event: EngineEvent): void {
    this.#port!.postMessage(event);
  }
}
