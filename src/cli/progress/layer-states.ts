/** The state of each layer of a pull, from its progress events: one row per layer. */
import type { ProgressEvent } from "../../index.ts";
import { ProgressSummary } from "../../progress.ts";

export type LayerState =
  | { readonly kind: "waiting" }
  | { readonly kind: "downloading"; readonly bytes: number; readonly total: number }
  | { readonly kind: "ingesting"; readonly bytes: number }
  | { readonly kind: "ready"; readonly how: "ingested" | "in-store" | "ingested-elsewhere"; readonly bytes: number }
  | { readonly kind: "linking"; readonly entries: number; readonly total: number }
  | { readonly kind: "done"; readonly how: "ingested" | "in-store" | "ingested-elsewhere"; readonly bytes: number }
  | { readonly kind: "failed"; readonly code: string };

export interface LayerRow {
  readonly index: number;
  /** Digest to show: the blob digest if known, else the diff ID. */
  readonly digest: string;
  readonly state: LayerState;
  /** Bytes per second; undefined in the first second of a download. */
  readonly rate: number | undefined;
}

interface Followed extends Omit<LayerRow, "rate"> {
  /** Of this layer alone. */
  readonly progress: ProgressSummary;
  /** Bytes of the blob that an earlier download left. */
  readonly resumed: number;
}

type LayerEvent = Extract<ProgressEvent, { index: number }>;
type Ready = Extract<LayerState, { kind: "ready" }>;

/** Follows the events of one pull. */
export class LayerStates {
  readonly #layers = new Map<number, Followed>();
  /** Where each finished layer came from, for the line that stays at the end. */
  readonly #ready = new Map<number, Ready>();
  /** Indexes of layers that the image also contains further down. */
  readonly #repeated = new Set<number>();
  readonly #now: () => number;

  /** `now` counts milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Bottom layer first. */
  get rows(): readonly LayerRow[] {
    const rows = [...this.#layers.values()].sort((a, b) => a.index - b.index);
    return rows.map(({ index, digest, state, progress }) => {
      return { index, digest, state, rate: progress.snapshot(this.#now()).bytesPerSecond };
    });
  }

  apply(event: ProgressEvent): void {
    if (event.kind === "resolved") {
      // a layer that the image contains twice is pulled once, under its first index
      const seen = new Set<string>();
      for (const [index, { diffId, digest }] of event.layers.entries()) {
        if (seen.has(diffId)) this.#repeated.add(index);
        else this.#layers.set(index, waiting(index, digest));
        seen.add(diffId);
      }
    } else if ("index" in event) this.#applyToLayer(event);
  }

  #applyToLayer(event: LayerEvent): void {
    const { index } = event;
    // its row is the one of the first index
    if (event.kind === "layer-skipped" && this.#repeated.has(index)) return;
    const known = this.#layers.get(index) ?? waiting(index, event.diffId);
    const layer = event.kind === "download-started" ? waiting(index, known.digest) : known;
    layer.progress.update(event, this.#now());
    const state = nextState(event, layer, this.#ready.get(index)) ?? known.state;
    if (state.kind === "ready") this.#ready.set(index, state);
    this.#layers.set(index, { ...layer, state, resumed: event.kind === "download-resumed" ? event.bytes : layer.resumed });
  }
}

function waiting(index: number, digest: string): Followed {
  return { index, digest, state: { kind: "waiting" }, progress: new ProgressSummary(), resumed: 0 };
}

/** Undefined: the event changes nothing that is shown. */
function nextState(event: LayerEvent, { state, resumed }: Followed, ready: Ready | undefined): LayerState | undefined {
  switch (event.kind) {
    case "download-started":
      return { kind: "downloading", bytes: 0, total: event.total };
    case "download-advanced":
      return { kind: "downloading", bytes: Math.max(resumed, event.bytes), total: event.total };
    case "download-complete":
      return { kind: "ingesting", bytes: event.bytes };
    case "ingest-complete":
      return { kind: "ready", how: "ingested", bytes: event.bytes };
    case "ingest-advanced":
      // download and ingest run at the same time: the bar shows the download until it is complete
      return state.kind === "downloading" ? undefined : { kind: "ingesting", bytes: event.bytes };
    case "layer-skipped":
      return { kind: "ready", how: event.reason, bytes: 0 };
    case "layer-failed":
      return { kind: "failed", code: event.code };
    case "tree-started":
      return { kind: "linking", entries: 0, total: event.total };
    case "tree-advanced":
      return { kind: "linking", entries: event.entries, total: event.total };
    case "tree-complete":
    case "tree-skipped":
      return { ...(ready ?? { how: "in-store", bytes: 0 }), kind: "done" };
    case "download-resumed":
      return state.kind === "downloading" ? { ...state, bytes: Math.max(state.bytes, event.bytes) } : undefined;
    case "serving":
    case "retrying":
    case "ingest-started":
    case "sidecar-started":
    case "sidecar-complete":
      return undefined;
  }
}
