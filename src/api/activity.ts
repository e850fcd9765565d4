/**
 * Reports the pulls and collections of one store handle to monitoring programs: counters, channels of `node:diagnostics_channel`, and
 * lines on stderr with `NODE_DEBUG=shale`. Subscribers cannot delay a pull.
 */
import { channel } from "node:diagnostics_channel";
import { escapeText } from "../bytes.ts";
import type { GcResult } from "../gc/gc-result.ts";
import type { ProgressEvent } from "../pull/progress.ts";
import type { PullStats } from "../pull/pull-request.ts";

const { debuglog } = process.getBuiltinModule("node:util");

/** Sums since this handle opened the store. */
export interface Counters {
  /** Successful pulls, including those served from the store. */
  readonly pulls: number;
  /** Successful pulls that downloaded nothing. */
  readonly cachedPulls: number;
  readonly failedPulls: number;
  /** Bytes of layer blobs that were fetched, and those that came from interrupted downloads. */
  readonly downloadedBytes: number;
  readonly resumedBytes: number;
  readonly ingestedLayers: number;
  /** Trees created. */
  readonly trees: number;
  /** Retried requests. */
  readonly retries: number;
  readonly warnings: number;
  readonly collections: number;
  /** Files that garbage collection removed from chunks/, and their bytes. */
  readonly removedChunks: number;
  readonly removedBytes: number;
}

/** Message on the channel `shale:progress`: one event of one pull. */
export interface ProgressMessage {
  /** Path of the store. */
  readonly store: string;
  /** Number of the pull within this handle, from 1. */
  readonly pull: number;
  readonly event: ProgressEvent;
}

/** Message on the channel `shale:pull`, at the end of a pull. */
export interface PullMessage {
  readonly store: string;
  readonly pull: number;
  /** As passed to `pull`. */
  readonly reference: string;
  readonly durationMs: number;
  /** Missing if the pull failed. */
  readonly cached?: boolean;
  readonly stats?: PullStats;
  /** Code of the error, if the pull failed. */
  readonly code?: string;
}

/** Message on the channel `shale:gc`, at the end of a collection. */
export interface GcMessage {
  readonly store: string;
  readonly result: GcResult;
}

const progress: ReturnType<typeof channel> = channel("shale:progress");
const pulls: ReturnType<typeof channel> = channel("shale:pull");
const collections: ReturnType<typeof channel> = channel("shale:gc");
const debug: ReturnType<typeof debuglog> = debuglog("shale");

type Sums = { -readonly [K in keyof Counters]: number };

export class Activity {
  readonly #store: string;
  readonly #sums: Sums = {
    pulls: 0,
    cachedPulls: 0,
    failedPulls: 0,
    downloadedBytes: 0,
    resumedBytes: 0,
    ingestedLayers: 0,
    trees: 0,
    retries: 0,
    warnings: 0,
    collections: 0,
    removedChunks: 0,
    removedBytes: 0,
  };
  #next = 0;

  constructor(store: string) {
    this.#store = store;
  }

  get counters(): Counters {
    return { ...this.#sums };
  }

  /** Starts the report of one pull. */
  pull(reference: string): PullActivity {
    const pull = ++this.#next;
    const started = process.hrtime.bigint();
    const about = { store: this.#store, pull };
    const ended = (rest: Partial<PullMessage>): void => {
      const message: PullMessage = { ...about, reference, durationMs: Number(process.hrtime.bigint() - started) / 1e6, ...rest };
      if (pulls.hasSubscribers) pulls.publish(message);
      if (debug.enabled) debug("%s", line(message));
    };
    return {
      saw: (event) => {
        this.#count(event);
        if (progress.hasSubscribers) progress.publish({ ...about, event } satisfies ProgressMessage);
        if (debug.enabled && !event.kind.endsWith("advanced")) debug("%s", line({ pull, event }));
      },
      succeeded: ({ cached, stats }) => {
        const sums = this.#sums;
        sums.pulls++;
        if (cached) sums.cachedPulls++;
        sums.downloadedBytes += stats.downloadedBytes;
        sums.resumedBytes += stats.resumedBytes;
        sums.ingestedLayers += stats.ingestedLayers;
        ended({ cached, stats });
      },
      failed: (code) => {
        this.#sums.failedPulls++;
        ended({ code });
      },
    };
  }

  collected(result: GcResult): void {
    this.#sums.collections++;
    this.#sums.removedChunks += result.chunks;
    this.#sums.removedBytes += result.bytes;
    const message: GcMessage = { store: this.#store, result };
    if (collections.hasSubscribers) collections.publish(message);
    if (debug.enabled) debug("%s", line(message));
  }

  #count({ kind }: ProgressEvent): void {
    if (kind === "tree-complete") this.#sums.trees++;
    else if (kind === "retrying") this.#sums.retries++;
    else if (kind === "warning") this.#sums.warnings++;
  }
}

export interface PullActivity {
  readonly saw: (event: ProgressEvent) => void;
  readonly succeeded: (image: { readonly cached: boolean; readonly stats: PullStats }) => void;
  /** With the code of the error. */
  readonly failed: (code: string) => void;
}

/** Escapes control characters, since text of a registry may contain them and the reader may be a terminal. */
function line(value: unknown): string {
  return escapeText(JSON.stringify(value));
}
