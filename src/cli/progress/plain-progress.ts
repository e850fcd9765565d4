import type { ProgressEvent } from "../../index.ts";
import { ProgressSummary } from "../../progress.ts";
import type { Output } from "../command.ts";
import { showCount, showMessage, showSize } from "../show.ts";
import { retryText, shortDigest } from "./layer-lines.ts";
import type { Progress } from "./progress.ts";
import { showLeft } from "./total-line.ts";

/** A long download is reported this often. */
const INTERVAL_MS = 10_000;

/** Progress as lines that stay: for logs, pipes and dumb terminals. */
export class PlainProgress implements Progress {
  readonly #output: Output;
  readonly #now: () => number;
  readonly #digests = new Map<number, string>();
  readonly #shownAt = new Map<number, number>();
  readonly #total: ProgressSummary = new ProgressSummary();
  #totalShownAt: number | undefined;
  #layers = 0;
  #stopped = false;

  constructor(output: Output, now: () => number = () => performance.now()) {
    this.#output = output;
    this.#now = now;
  }

  readonly onEvent = (event: ProgressEvent): void => {
    const line = this.#line(event);
    if (line !== undefined) this.note(line);
    this.#total.update(event, this.#now());
    const total = event.kind === "download-advanced" ? this.#totalLine() : undefined;
    if (total !== undefined) this.note(total);
  };

  readonly note = (line: string): void => {
    if (!this.#stopped) this.#output.write(`${line}\n`);
  };

  readonly stop = (): void => {
    this.#stopped = true;
  };

  #line(event: ProgressEvent): string | undefined {
    switch (event.kind) {
      case "resolving":
        return `pulling ${showMessage(event.reference)}`;
      case "resolved":
        this.#layers = event.layers.length;
        for (const [index, { digest }] of event.layers.entries()) this.#digests.set(index, digest);
        return `manifest ${event.manifestDigest}: ${showCount(event.layers.length, "layer")}`;
      case "warning":
        return `warning: ${event.code}: ${showMessage(event.message)}`;
      case "complete":
      case "failed":
        // the command prints the result
        return undefined;
      default:
        return this.#layerLine(event);
    }
  }

  /** Undefined: not due yet, or unknown. */
  #totalLine(): string | undefined {
    const now = this.#now();
    this.#totalShownAt ??= now;
    if (now - this.#totalShownAt < INTERVAL_MS) return undefined;
    this.#totalShownAt = now;
    const { phase, downloadedBytes, totalBytes, percent = 0, bytesPerSecond, remainingMs } = this.#total.snapshot(now);
    if (phase !== "fetching") return undefined;
    const parts = [
      totalBytes === undefined
        ? showSize(downloadedBytes)
        : `${showSize(downloadedBytes)} of ${showSize(totalBytes)} (${Math.floor(percent)}%)`,
      ...(bytesPerSecond === undefined ? [] : [`${showSize(bytesPerSecond)}/s`]),
      ...(remainingMs === undefined ? [] : [showLeft(remainingMs)]),
    ];
    return `total: ${parts.join(", ")}`;
  }

  #layerLine(event: Extract<ProgressEvent, { index: number }>): string | undefined {
    const text = this.#layerText(event);
    const of = this.#layers > 0 ? `/${this.#layers}` : "";
    return text && `layer ${event.index + 1}${of} ${shortDigest(this.#digests.get(event.index) ?? event.diffId)}: ${text}`;
  }

  #layerText(event: Extract<ProgressEvent, { index: number }>): string | undefined {
    switch (event.kind) {
      case "download-started":
        this.#shownAt.set(event.index, this.#now());
        return `downloading ${showSize(event.total)}`;
      case "download-advanced":
        return this.#isDue(event.index) ? `downloaded ${showSize(event.bytes)} of ${showSize(event.total)}` : undefined;
      case "download-resumed":
        return `resuming after ${showSize(event.bytes)}`;
      case "serving":
        return event.mirror ? `from the mirror ${showMessage(event.host)}` : undefined;
      case "retrying":
        return retryText(event);
      case "ingest-complete":
        return `ingested ${showSize(event.bytes)} in ${showCount(event.entries, "entry")}`;
      case "layer-skipped":
        return event.reason === "in-store" ? "already in the store" : "ingested by another process";
      case "layer-failed":
        return `failed: ${event.code}`;
      case "tree-complete":
        return `linked ${showCount(event.entries, "entry")}`;
      case "download-complete":
      case "ingest-started":
      case "ingest-advanced":
      case "sidecar-started":
      case "sidecar-complete":
      case "tree-started":
      case "tree-advanced":
      case "tree-skipped":
        return undefined;
    }
  }

  #isDue(index: number): boolean {
    const now = this.#now();
    if (now - (this.#shownAt.get(index) ?? now) < INTERVAL_MS) return false;
    this.#shownAt.set(index, now);
    return true;
  }
}
