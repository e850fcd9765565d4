/** How far a pull is as a whole: bytes of all layers that are to be fetched, then trees. */
import type { ProgressEvent } from "../../index.ts";
import { Rate } from "./rate.ts";

export type TotalView =
  | {
      readonly kind: "fetching";
      /** What is here of `total`, with what an earlier download left. */
      readonly bytes: number;
      /** Undefined: the size of some layer is not known. */
      readonly total: number | undefined;
      /** Bytes a second, without what was here already; told anew once a second. */
      readonly rate: number | undefined;
      /** Seconds; undefined while they cannot be told. */
      readonly left: number | undefined;
      /** Layers that are ingested, of those to be fetched. */
      readonly finished: number;
      readonly layers: number;
    }
  | {
      readonly kind: "linking";
      readonly names: number;
      readonly finished: number;
      /** Undefined: not known before they come. */
      readonly trees: number | undefined;
      /** Of the work, 0 to 1. */
      readonly part: number | undefined;
    };

interface Part {
  readonly size: number | undefined;
  readonly bytes: number;
  /** Of `bytes`: here before. */
  readonly resumed: number;
  /** `absent`: nothing was to be fetched. */
  readonly state: "coming" | "here" | "absent";
}

interface Tree {
  readonly entries: number;
  readonly total: number;
  readonly finished: boolean;
}

/** The rate is of a longer time than a layer's: what is left must not jump. */
const WINDOW_MS = 10_000;
const LEAST_MS = 1000;
const REFRESH_MS = 1000;

/** Follows the events of one pull; but for trees, of several at a time too. */
export class PullTotal {
  readonly #now: () => number;
  /** By diff ID: a layer that stands in the image twice is fetched once. */
  readonly #parts = new Map<string, Part>();
  readonly #trees = new Map<number, Tree>();
  readonly #rate: Rate = new Rate(WINDOW_MS);
  #expectedTrees: number | undefined;
  #moved = 0;
  #told: { readonly at: number; readonly rate: number | undefined } | undefined;

  /** `now` counts milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  apply(event: ProgressEvent): void {
    if (event.kind === "resolved") {
      this.#expectedTrees = event.layers.length;
      for (const { diffId, size } of event.layers)
        if (!this.#parts.has(diffId)) this.#parts.set(diffId, { size, bytes: 0, resumed: 0, state: "coming" });
    } else if (event.kind.startsWith("tree-")) this.#applyToTree(event);
    else if ("diffId" in event) this.#applyToLayer(event);
  }

  /** Undefined: there is nothing to fetch, nor trees to be made. */
  get view(): TotalView | undefined {
    // trees of lower layers are made while upper ones come
    const isComing = [...this.#parts.values()].some(({ state }) => state === "coming");
    return isComing ? this.#fetching() : (this.#linking() ?? this.#fetching());
  }

  #applyToLayer(event: Extract<ProgressEvent, { diffId: string }>): void {
    const before = this.#parts.get(event.diffId) ?? { size: undefined, bytes: 0, resumed: 0, state: "coming" };
    const after = nextPart(event, before);
    if (!after) return;
    this.#parts.set(event.diffId, after);
    // what was here already comes in no time
    if (event.kind !== "download-advanced" || event.bytes < after.resumed) return;
    this.#moved += Math.max(0, after.bytes - after.resumed - (before.bytes - before.resumed));
    this.#rate.add(this.#now(), this.#moved);
  }

  #applyToTree(event: ProgressEvent): void {
    switch (event.kind) {
      case "tree-started":
        this.#trees.set(event.index, { entries: 0, total: event.total, finished: false });
        break;
      case "tree-advanced":
        this.#trees.set(event.index, { entries: event.entries, total: event.total, finished: false });
        break;
      case "tree-complete":
        this.#trees.set(event.index, { entries: event.entries, total: event.entries, finished: true });
        break;
      case "tree-skipped":
        this.#trees.set(event.index, { entries: 0, total: 0, finished: true });
        break;
      default:
    }
  }

  #fetching(): TotalView | undefined {
    const parts = [...this.#parts.values()].filter(({ state }) => state !== "absent");
    if (parts.length === 0) return undefined;
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    const total = parts.reduce<number | undefined>(
      (sum, { size }) => (sum === undefined || size === undefined ? undefined : sum + size),
      0,
    );
    const rate = this.#steadyRate();
    const left = total === undefined || rate === undefined || rate === 0 ? undefined : Math.max(0, total - bytes) / rate;
    return {
      kind: "fetching",
      bytes,
      total,
      rate,
      left,
      finished: parts.filter(({ state }) => state === "here").length,
      layers: parts.length,
    };
  }

  #steadyRate(): number | undefined {
    const at = this.#now();
    if (this.#told === undefined || at - this.#told.at >= REFRESH_MS) {
      const rate = this.#rate.span >= LEAST_MS ? this.#rate.perSecond : undefined;
      // until it is known, each look may be the first that tells it
      this.#told = rate === undefined ? undefined : { at, rate };
    }
    return this.#told?.rate;
  }

  #linking(): TotalView | undefined {
    const all = [...this.#trees.values()];
    if (!all.some(({ total }) => total > 0)) return undefined;
    const names = all.reduce((sum, { entries }) => sum + entries, 0);
    const finished = all.filter((tree) => tree.finished).length;
    const begun = all.reduce((sum, tree) => sum + (tree.finished ? 1 : Math.min(1, tree.entries / Math.max(1, tree.total))), 0);
    const trees = this.#expectedTrees;
    return { kind: "linking", names, finished, trees, part: trees === undefined ? undefined : Math.min(1, begun / Math.max(1, trees)) };
  }
}

/** Undefined: the event changes nothing. */
function nextPart(event: Extract<ProgressEvent, { diffId: string }>, part: Part): Part | undefined {
  const { size, resumed, bytes } = part;
  switch (event.kind) {
    case "download-started":
      // also when it begins again from zero
      return { size: known(event.total) ?? size, bytes: 0, resumed: 0, state: "coming" };
    case "download-resumed":
      return { ...part, bytes: Math.max(bytes, event.bytes), resumed: event.bytes };
    case "download-advanced":
      return part.state === "here" ? undefined : { ...part, size: size ?? known(event.total), bytes: Math.max(resumed, event.bytes) };
    case "download-complete":
      return { ...part, bytes: Math.max(resumed, event.bytes) };
    case "ingest-complete":
      return { ...part, bytes: size ?? bytes, state: "here" };
    case "layer-skipped":
      if (event.reason === "in-store" && bytes === 0 && part.state === "coming") return { ...part, state: "absent" };
      return part.state === "absent" ? undefined : { ...part, bytes: size ?? bytes, state: "here" };
    default:
      return undefined;
  }
}

function known(total: number): number | undefined {
  return total > 0 ? total : undefined;
}
