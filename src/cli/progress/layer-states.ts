/** The state of a pull as far as its events have told it: one row a layer. */
import type { ProgressEvent } from "../../index.ts";
import { Rate } from "./rate.ts";

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
  /** Digest to show: the blob's if it is known, else the diff ID. */
  readonly digest: string;
  readonly state: LayerState;
  /** Bytes a second while downloading. */
  readonly rate: Rate;
  /** Of the blob: here before. */
  readonly resumed: number;
}

type LayerEvent = Extract<ProgressEvent, { index: number }>;
type Ready = Extract<LayerState, { kind: "ready" }>;

/** Follows the events of one pull. */
export class LayerStates {
  readonly #rows = new Map<number, LayerRow>();
  /** How the layer came to be there, for the line that stays at the end. */
  readonly #ready = new Map<number, Ready>();
  /** Places of layers that stand further down as well. */
  readonly #repeated = new Set<number>();
  readonly #now: () => number;

  /** `now` counts milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Bottom layer first. */
  get rows(): readonly LayerRow[] {
    return [...this.#rows.values()].sort((a, b) => a.index - b.index);
  }

  apply(event: ProgressEvent): void {
    if (event.kind === "resolved") {
      // a layer that stands in the image twice is pulled once, under its first index
      const seen = new Set<string>();
      for (const [index, { diffId, digest }] of event.layers.entries()) {
        if (seen.has(diffId)) this.#repeated.add(index);
        else this.#rows.set(index, { index, digest, state: { kind: "waiting" }, rate: new Rate(), resumed: 0 });
        seen.add(diffId);
      }
    } else if ("index" in event) this.#applyToLayer(event);
  }

  #applyToLayer(event: LayerEvent): void {
    const { index } = event;
    // told of a layer that stands in the image twice, below
    if (event.kind === "layer-skipped" && this.#repeated.has(index)) return;
    const row = this.#rows.get(index) ?? { index, digest: event.diffId, state: { kind: "waiting" }, rate: new Rate(), resumed: 0 };
    const state = this.#nextState(event, row);
    if (state?.kind === "ready") this.#ready.set(index, state);
    const begins = event.kind === "download-started" ? { rate: new Rate(), resumed: 0 } : {};
    const resumed = event.kind === "download-resumed" ? { resumed: event.bytes } : {};
    this.#rows.set(index, { ...row, ...begins, ...resumed, state: state ?? row.state });
  }

  /** Undefined: the event changes nothing that is shown. */
  #nextState(event: LayerEvent, { index, rate, state, resumed }: LayerRow): LayerState | undefined {
    switch (event.kind) {
      case "download-started":
        return { kind: "downloading", bytes: 0, total: event.total };
      case "download-advanced":
        // what was here already comes in no time
        if (event.bytes >= resumed) rate.add(this.#now(), event.bytes);
        return { kind: "downloading", bytes: Math.max(resumed, event.bytes), total: event.total };
      case "download-complete":
        return { kind: "ingesting", bytes: event.bytes };
      case "ingest-complete":
        return { kind: "ready", how: "ingested", bytes: event.bytes };
      case "ingest-advanced":
        // download and ingest run at once: the bar is the download's until that is over
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
      case "tree-skipped": {
        const { how, bytes } = this.#ready.get(index) ?? { how: "in-store", bytes: 0 };
        return { kind: "done", how, bytes };
      }
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
}
