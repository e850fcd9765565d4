/** The whole of a pull as one line: ASCII, every field in a place of its own, so that nothing moves while numbers change. */
import { assertNever } from "../../errors.ts";
import { showCount, showSize } from "../show.ts";
import { bar, BAR_COLUMNS, percent } from "./bar.ts";
import type { TotalView } from "./pull-total.ts";

/** As wide as the digests of the layers' lines. */
const LABEL = "total".padEnd(12);
const RATE_COLUMNS = "45.2 MB/s".length;
const LEFT_COLUMNS = "a few seconds left".length;

/** From here on there is room for both the bar and the time left. */
const WIDE = 12 + 2 + BAR_COLUMNS + 1 + "100% 31.5 MB / 63.0 MB".length + 2 + RATE_COLUMNS + 2 + LEFT_COLUMNS;
const COUNT_COLUMNS = "  123 of 123 layers".length;

/** At most `width` columns. */
export function totalLine(view: TotalView, width: number): string {
  return `${LABEL}  ${describe(view, width)}`.trimEnd().slice(0, Math.max(0, width));
}

function describe(view: TotalView, width: number): string {
  switch (view.kind) {
    case "fetching":
      return fetching(view, width);
    case "linking": {
      const { names, finished, trees, part } = view;
      if (part === undefined) return `linking, ${showCount(names, "name")}`;
      const line = `${bar(part)} ${percent(part)} linking, ${finished} of ${showCount(trees ?? 0, "tree")}`;
      return width < WIDE ? line : `${line}, ${showCount(names, "name")}`;
    }
    default:
      return assertNever(view);
  }
}

function fetching({ bytes, total, rate, left, finished, layers }: Extract<TotalView, { kind: "fetching" }>, width: number): string {
  const speed = (rate === undefined ? "" : `${showSize(rate)}/s`).padEnd(RATE_COLUMNS);
  const count = `${finished} of ${showCount(layers, "layer")}`;
  if (total === undefined) return `${showSize(bytes).padStart(7)}  ${speed}  ${count}`;
  const part = total === 0 ? 1 : Math.min(1, bytes / total);
  const amounts = `${percent(part)} ${showSize(bytes).padStart(7)} / ${showSize(total).padEnd(7)}`;
  const rest = bytes >= total ? "ingesting" : left === undefined ? "" : showLeft(left);
  if (width < WIDE) return `${(rest || `${count} fetched`).padEnd(BAR_COLUMNS)} ${amounts}  ${speed}`;
  const more = width < WIDE + COUNT_COLUMNS ? "" : `  ${count}`;
  return `${bar(part)} ${amounts}  ${speed}  ${rest.padEnd(LEFT_COLUMNS)}${more}`;
}

/** Coarse, since it is a guess, and steady for that: `about 40 s left`, `about 3 min left`. */
export function showLeft(seconds: number): string {
  if (seconds < 7.5) return "a few seconds left";
  if (seconds < 57.5) return `about ${Math.round(seconds / 5) * 5} s left`;
  const minutes = seconds / 60;
  if (minutes < 9.5) return `about ${Math.max(1, Math.round(minutes))} min left`;
  if (minutes < 57.5) return `about ${Math.round(minutes / 5) * 5} min left`;
  const hours = minutes / 60;
  if (hours < 47.5) return `about ${Math.max(1, Math.round(hours))} h left`;
  return `about ${Math.min(99, Math.round(hours / 24))} days left`;
}
