/**
 * The workers' side of ingest. Every worker can inflate the layers given to it and create the files of any slab, whoever filled
 * it: with two workers both cores stay busy for one layer as for many. Requests come through the worker pool; parts and results
 * go to the main thread by a port.
 */
import type { MessagePort } from "node:worker_threads";
import { MadeInodes } from "../store/made-inodes.ts";
import { pack, type Background, type Failure, type Handled, type Handler } from "../system/worker-pool.ts";
import { ChunkWriter, type ChunkWriterOptions } from "./chunk-writer.ts";
import { ingestSlab } from "./ingest-slab.ts";
import { LayerInflater, type InflatedLayer, type LayerTask } from "./layer-inflater.ts";
import { partTransfer, type Part } from "./part.ts";
import { settleLayer, type SettleRequest } from "./settle-layer.ts";
import { Slabs, type SlabMemory } from "./slabs.ts";
import { TreePlaces } from "./tree-places.ts";

export interface OpenRequest {
  readonly memory: SlabMemory;
  readonly port: MessagePort;
  readonly chunks: ChunkWriterOptions;
}

export interface RunRequest {
  readonly verifyContent: boolean;
  /** Number of the layer that is about to begin. */
  readonly layer: number;
  /** Undefined: its files are made in chunks/ alone. */
  readonly tree: StagedTreeTask | undefined;
}

/** A tree that is staged while its layer is ingested. */
export interface StagedTreeTask {
  /** Empty, in staging. */
  readonly directory: string;
  /** Memory of MadeInodes: those that the image's trees have. */
  readonly used: SharedArrayBuffer;
}

/** From a worker to the main thread, of layer number `layer`. */
export type EngineEvent =
  | { readonly kind: "part"; readonly layer: number; readonly part: Part }
  | { readonly kind: "inflated"; readonly layer: number; readonly result: InflatedLayer }
  | { readonly kind: "failed"; readonly layer: number; readonly failure: Failure };

export interface IngestCounts {
  readonly newChunks: number;
  readonly newBytes: number;
}

/** Ready slabs that are enough work in hand: below it, inflating comes first. */
const ENOUGH_READY = 2;
const WAIT_MS = 20;

export class Engine implements Background {
  readonly handlers: Readonly<Record<string, Handler>> = {
    "ingest/open": (request: OpenRequest) => this.#open(request),
    "ingest/run": (request: RunRequest) => this.#run(request),
    "ingest/layer": (task: LayerTask) => this.#start(task),
    "ingest/leave-tree": (layer: number) => this.#leaveTree(layer),
    "ingest/pause": () => this.#pause(),
    "ingest/settle": (request: SettleRequest) => this.#settle(request),
  };
  #slabs: Slabs | undefined;
  #port: MessagePort | undefined;
  #chunks: ChunkWriter | undefined;
  #layers: LayerInflater[] = [];
  /** By the layer's number. */
  readonly #places = new Map<number, TreePlaces>();
  #running = false;
  #seen = 0;

  get active(): boolean {
    return this.#running;
  }

  async step(): Promise<boolean> {
    this.#seen = this.#slabs!.eventCount;
    if (this.#slabs!.readyCount < ENOUGH_READY && (await this.#inflateOne())) return true;
    return this.#createOne() || (await this.#inflateOne());
  }

  wait(): void {
    this.#slabs!.wait(this.#seen, WAIT_MS);
  }

  /** Again after another worker died: nothing is left of what was before. */
  #open({ memory, port, chunks }: OpenRequest): Handled {
    this.#stop();
    this.#slabs = new Slabs(memory);
    this.#port = port;
    this.#chunks = new ChunkWriter(chunks);
    return { value: undefined };
  }

  #run({ verifyContent, layer, tree }: RunRequest): Handled {
    this.#running = true;
    if (tree !== undefined) this.#places.set(layer, new TreePlaces(tree.directory, new MadeInodes(tree.used)));
    this.#chunks!.verifyContent ||= verifyContent;
    return { value: undefined };
  }

  #start(task: LayerTask): Handled {
    const { layer } = task;
    const places = this.#places.get(layer);
    const emit = (part: Part): void => this.#sendPart(layer, part);
    this.#layers.push(new LayerInflater(task, { slabs: this.#slabs!, chunks: this.#chunks!, places, emit }));
    return { value: undefined };
  }

  /** The layer was given up: this worker makes nothing in its tree any more, whatever slabs of it are still to be read. */
  #leaveTree(layer: number): Handled {
    this.#places.delete(layer);
    for (const inflater of this.#layers) if (inflater.task.layer === layer) this.#drop(inflater);
    return { value: undefined };
  }

  /** No layer is in flight: the worker may sleep. Answers what it made since it began to run. */
  #pause(): Handled {
    const { newChunks, newBytes } = this.#chunks!;
    this.#stop();
    this.#chunks!.reset();
    return { value: { newChunks, newBytes } satisfies IngestCounts };
  }

  /** Layers that are still here were given up, and hold memory and files. */
  #stop(): void {
    this.#running = false;
    for (const layer of this.#layers) this.#drop(layer);
    this.#places.clear();
  }

  async #settle(request: SettleRequest): Promise<Handled> {
    const settled = await settleLayer(request, this.#chunks!);
    return { value: settled, transfer: [settled.inodes.buffer] };
  }

  /** One step of the first layer that can move; those behind it get their turn when it cannot. */
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

  #createOne(): boolean {
    const ready = this.#slabs!.takeReady();
    if (!ready) return false;
    try {
      this.#sendPart(ready.layer, ingestSlab(this.#slabs!.bytes(ready.slab), ready, this.#chunks!, this.#places.get(ready.layer)));
    } catch (error) {
      this.#send({ kind: "failed", layer: ready.layer, failure: pack(error) });
    } finally {
      this.#slabs!.release(ready.slab);
    }
    return true;
  }

  #drop(layer: LayerInflater): void {
    this.#layers = this.#layers.filter((other) => other !== layer);
    layer.close();
  }

  #sendPart(layer: number, part: Part): void {
    this.#port!.postMessage({ kind: "part", layer, part } satisfies EngineEvent, partTransfer(part));
  }

  #send(event: EngineEvent): void {
    this.#port!.postMessage(event);
  }
}
