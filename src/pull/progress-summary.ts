/** How far a pull is, in numbers: percent, rate and remaining time from its progress events. */
import type { ProgressEvent } from "./progress.ts";

/** The state of a pull at one moment. Bytes are those of compressed layers; times are milliseconds. */
export interface ProgressSnapshot {
  /**
   * `resolving`: reads manifest and config. `fetching`: downloads and ingests layers. `materializing`: all layers are ingested, and layer
   * directories are made. `complete` and `failed` are final.
   */
  readonly phase: "resolving" | "fetching" | "materializing" | "complete" | "failed";
  /** Layers to fetch, and those already ingested. Layers that the store had before do not count. */
  readonly layers: { readonly done: number; readonly total: number };
  /** Layer directories. `total` is undefined until the manifest is known. */
  readonly trees: { readonly done: number; readonly total: number | undefined };
  /** Files, directories and links: read from layers, and made in layer directories. */
  readonly entries: { readonly ingested: number; readonly materialized: number };
  /** Bytes present, those of an earlier, interrupted download included. */
  readonly downloadedBytes: number;
  /** Bytes of all layers to fetch; undefined if the size of one is unknown. */
  readonly totalBytes: number | undefined;
  /** 0 to 100, of the current phase: bytes while fetching, layer directories while materializing. Undefined if unknown. */
  readonly percent: number | undefined;
  /** Bytes per second over the last 10 seconds, renewed once a second; undefined in the first second. Resumed bytes do not count. */
  readonly bytesPerSecond: number | undefined;
  /** Estimate of the time until all bytes are downloaded; undefined if it cannot be estimated. */
  readonly remainingMs: number | undefined;
}

interface LayerState {
  readonly size: number | undefined;
  readonly bytes: number;
  /** Part of `bytes` that an earlier download left. */
  readonly resumed: number;
  readonly entries: number;
  /** `absent`: the store had the layer before. */
  readonly state: "coming" | "ingested" | "absent";
}

interface TreeState {
  readonly entries: number;
  readonly total: number;
  readonly finished: boolean;
}

type LayerEvent = Extract<ProgressEvent, { readonly diffId: string }>;
type TreeEvent = Extract<LayerEvent, { readonly kind: `tree-${string}` }>;

const NEW_LAYER: LayerState = { size: undefined, bytes: 0, resumed: 0, entries: 0, state: "coming" };

const WINDOW_MS = 10_000;
/** A shorter time gives no reliable rate. */
const SHORTEST_MS = 1000;
const RENEW_MS = 1000;

/**
 * Adds up the events of one pull. It may follow several pulls at a time: a layer that they share counts once, and `phase` is that of no
 * single pull.
 *
 *     const progress = new ProgressSummary();
 *     const timer = setInterval(() => console.log(progress.snapshot().percent), 1000);
 *     await registry.pull(reference, { onProgress: progress.update });
 *     clearInterval(timer);
 */
export class ProgressSummary {
  /** By diff ID: a layer that the image contains twice is fetched once. */
  readonly #layers = new Map<string, LayerState>();
  /** By index and diff ID. */
  readonly #trees = new Map<string, TreeState>();
  readonly #expectedTrees = new Set<string>();
  readonly #rate: TransferRate = new TransferRate();
  #fetchedBytes = 0;
  #ended: "complete" | "failed" | undefined;

  /** Takes an event; an `onProgress` function as it is. `nowMs`: the time of the event, by default `performance.now()`. */
  readonly update = (event: ProgressEvent, nowMs: number = performance.now()): void => {
    switch (event.kind) {
      case "resolved":
        for (const [index, { diffId, size }] of event.layers.entries()) {
          this.#expectedTrees.add(treeKey(index, diffId));
          if (!this.#layers.has(diffId)) this.#layers.set(diffId, { ...NEW_LAYER, size });
        }
        break;
      case "complete":
      case "failed":
        this.#ended = event.kind;
        break;
      case "tree-started":
      case "tree-advanced":
      case "tree-complete":
      case "tree-skipped":
        this.#trees.set(treeKey(event.index, event.diffId), treeState(event));
        break;
      default:
        if ("diffId" in event) this.#updateLayer(event, nowMs);
    }
  };

  /** The state at `nowMs`, a time by the same clock as in `update`. */
  snapshot(nowMs: number = performance.now()): ProgressSnapshot {
    const layers = [...this.#layers.values()].filter(({ state }) => state !== "absent");
    const trees = [...this.#trees.values()];
    const phase = this.#phase(layers, trees);
    const downloadedBytes = sum(layers.map(({ bytes }) => bytes));
    const sizes = layers.map(({ size }) => size);
    const totalBytes = sizes.includes(undefined) ? undefined : sum(sizes.map((size) => size ?? 0));
    const bytesPerSecond = this.#rate.at(nowMs);
    const known = totalBytes !== undefined && bytesPerSecond !== undefined && bytesPerSecond > 0;
    return {
      phase,
      layers: { done: layers.filter(({ state }) => state === "ingested").length, total: layers.length },
      trees: { done: trees.filter(({ finished }) => finished).length, total: this.#expectedTrees.size || undefined },
      entries: { ingested: sum(layers.map(({ entries }) => entries)), materialized: sum(trees.map(({ entries }) => entries)) },
      downloadedBytes,
      totalBytes,
      percent: this.#percent(phase, { downloadedBytes, totalBytes, layers: layers.length, trees }),
      bytesPerSecond,
      remainingMs: known ? (Math.max(0, totalBytes - downloadedBytes) * 1000) / bytesPerSecond : undefined,
    };
  }

  #updateLayer(event: Exclude<LayerEvent, TreeEvent>, nowMs: number): void {
    const before = this.#layers.get(event.diffId) ?? NEW_LAYER;
    const after = nextState(event, before);
    this.#layers.set(event.diffId, after);
    // resumed bytes arrive at once and would inflate the rate
    if (event.kind !== "download-advanced" || event.bytes < after.resumed) return;
    this.#fetchedBytes += Math.max(0, after.bytes - after.resumed - (before.bytes - before.resumed));
    this.#rate.add(nowMs, this.#fetchedBytes);
  }

  #phase(layers: readonly LayerState[], trees: readonly TreeState[]): ProgressSnapshot["phase"] {
    if (this.#ended !== undefined) return this.#ended;
    // trees of lower layers are made while upper layers are fetched
    if (layers.some(({ state }) => state === "coming")) return "fetching";
    if (trees.some(({ total }) => total > 0)) return "materializing";
    return this.#layers.size > 0 ? "fetching" : "resolving";
  }

  #percent(
    phase: ProgressSnapshot["phase"],
    { downloadedBytes, totalBytes, layers, trees }: Pick<ProgressSnapshot, "downloadedBytes" | "totalBytes"> & Counted,
  ): number | undefined {
    if (phase === "complete") return 100;
    if (phase === "materializing") {
      const expected = this.#expectedTrees.size;
      const made = sum(trees.map(({ entries, total, finished }) => (finished ? 1 : Math.min(1, entries / Math.max(1, total)))));
      return expected === 0 ? undefined : Math.min(100, (100 * made) / expected);
    }
    if (layers === 0 || totalBytes === undefined) return undefined;
    return totalBytes === 0 ? 100 : Math.min(100, (100 * downloadedBytes) / totalBytes);
  }
}

interface Counted {
  readonly layers: number;
  readonly trees: readonly TreeState[];
}

function treeKey(index: number, diffId: string): string {
  return `${index} ${diffId}`;
}

function treeState(event: TreeEvent): TreeState {
  switch (event.kind) {
    case "tree-started":
      return { entries: 0, total: event.total, finished: false };
    case "tree-advanced":
      return { entries: event.entries, total: event.total, finished: false };
    case "tree-complete":
      return { entries: event.entries, total: event.entries, finished: true };
    case "tree-skipped":
      return { entries: 0, total: 0, finished: true };
  }
}

function nextState(event: Exclude<LayerEvent, TreeEvent>, layer: LayerState): LayerState {
  const { size, resumed, bytes, state } = layer;
  switch (event.kind) {
    case "download-started":
      // also when the download starts again from byte 0
      return { ...NEW_LAYER, size: known(event.total) ?? size };
    case "download-resumed":
      return { ...layer, bytes: Math.max(bytes, event.bytes), resumed: event.bytes };
    case "download-advanced":
      return state === "ingested" ? layer : { ...layer, size: size ?? known(event.total), bytes: Math.max(resumed, event.bytes) };
    case "download-complete":
      return { ...layer, bytes: Math.max(resumed, event.bytes) };
    case "ingest-advanced":
      return { ...layer, entries: event.entries };
    case "ingest-complete":
      return { ...layer, entries: event.entries, bytes: size ?? bytes, state: "ingested" };
    case "layer-skipped":
      if (event.reason === "in-store" && bytes === 0 && state === "coming") return { ...layer, state: "absent" };
      return state === "absent" ? layer : { ...layer, bytes: size ?? bytes, state: "ingested" };
    default:
      return layer;
  }
}

function known(total: number): number | undefined {
  return total > 0 ? total : undefined;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}

/** Bytes per second over the last `WINDOW_MS`. */
class TransferRate {
  readonly #samples: { readonly at: number; readonly bytes: number }[] = [];
  #shown: { readonly at: number; readonly rate: number } | undefined;

  /** `bytes`: all bytes until `at`. */
  add(at: number, bytes: number): void {
    this.#samples.push({ at, bytes });
    this.#forget(at);
  }

  /** Changes at most every `RENEW_MS`, or a display of it and of the remaining time would flicker. */
  at(now: number): number | undefined {
    if (this.#shown === undefined || now - this.#shown.at >= RENEW_MS) {
      const rate = this.#measure(now);
      this.#shown = rate === undefined ? undefined : { at: now, rate };
    }
    return this.#shown?.rate;
  }

  #measure(now: number): number | undefined {
    this.#forget(now);
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (!first || !last || now - first.at < SHORTEST_MS) return undefined;
    return ((last.bytes - first.bytes) * 1000) / (now - first.at);
  }

  /** Keeps one sample from before the window, to measure from. */
  #forget(now: number): void {
    while (this.#samples.length > 1 && this.#samples[1]!.at <= now - WINDOW_MS) this.#samples.shift();
  }
}
