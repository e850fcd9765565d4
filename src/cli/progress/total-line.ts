/** The progress of a whole pull as one line: ASCII, each field at a fixed position, so that nothing moves while numbers change. */
import type { ProgressSnapshot } from "../../index.ts";
import { showCount, showSize } from "../show.ts";
import { bar, BAR_COLUMNS, showPercent } from "./bar.ts";

/** As wide as the digests of the layers' lines. */
const LABEL = "total".padEnd(12);
const RATE_COLUMNS = "45.2 MB/s".length;
const LEFT_COLUMNS = "a few seconds left".length;

/** From this width on, both the bar and the remaining time fit. */
const WIDE = 12 + 2 + BAR_COLUMNS + 1 + "100% 31.5 MB / 63.0 MB".length + 2 + RATE_COLUMNS + 2 + LEFT_COLUMNS;
const COUNT_COLUMNS = "  123 of 123 layers".length;

/** At most `width` columns. Undefined: nothing to fetch and no directory to make. */
export function totalLine(progress: ProgressSnapshot, width: number): string | undefined {
  const text = describe(progress, width);
  return text === undefined ? undefined : `${LABEL}  ${text}`.trimEnd().slice(0, Math.max(0, width));
}

function describe(progress: ProgressSnapshot, width: number): string | undefined {
  if (progress.phase === "materializing") return linking(progress, width);
  return progress.phase === "fetching" && progress.layers.total > 0 ? fetching(progress, width) : undefined;
}

function linking({ entries, trees, percent }: ProgressSnapshot, width: number): string {
  const linked = showCount(entries.materialized, "entry");
  if (percent === undefined) return `linking, ${linked}`;
  const line = `${bar(percent)} ${showPercent(percent)} linking, ${trees.done} of ${showCount(trees.total ?? 0, "tree")}`;
  return width < WIDE ? line : `${line}, ${linked}`;
}

function fetching({ downloadedBytes, totalBytes, percent = 0, ...progress }: ProgressSnapshot, width: number): string {
  const { bytesPerSecond, remainingMs, layers } = progress;
  const speed = (bytesPerSecond === undefined ? "" : `${showSize(bytesPerSecond)}/s`).padEnd(RATE_COLUMNS);
  const count = `${layers.done} of ${showCount(layers.total, "layer")}`;
  if (totalBytes === undefined) return `${showSize(downloadedBytes).padStart(7)}  ${speed}  ${count}`;
  const amounts = `${showPercent(percent)} ${showSize(downloadedBytes).padStart(7)} / ${showSize(totalBytes).padEnd(7)}`;
  const rest = downloadedBytes >= totalBytes ? "ingesting" : remainingMs === undefined ? "" : showLeft(remainingMs);
  if (width < WIDE) return `${(rest || `${count} fetched`).padEnd(BAR_COLUMNS)} ${amounts}  ${speed}`;
  const more = width < WIDE + COUNT_COLUMNS ? "" : `  ${count}`;
  return `${bar(percent)} ${amounts}  ${speed}  ${rest.padEnd(LEFT_COLUMNS)}${more}`;
}

/** An estimate, rounded so that it seldom changes: `about 40 s left`, `about 3 min left`. */
export function showLeft(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 7.5) return "a few seconds left";
  if (seconds < 57.5) return `about ${Math.round(seconds / 5) * 5} s left`;
  const minutes = seconds / 60;
  if (minutes < 9.5) return `about ${Math.max(1, Math.round(minutes))} min left`;
  if (minutes < 57.5) return `about ${Math.round(minutes / 5) * 5} min left`;
  const hours = minutes / 60;
  if (hours < 47.5) return `about ${Math.max(1, Math.round(hours))} h left`;
  return `about ${Math.min(99, Math.round(hours / 24))} days left`;
}
