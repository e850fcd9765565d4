/** Rows as text of known width: ASCII only, never wider than allowed. */
import { assertNever } from "../../errors.ts";
import type { ProgressEvent } from "../../index.ts";
import { nameOptions, showCount, showDuration, showMessage, showSize } from "../show.ts";
import { bar, showPercent } from "./bar.ts";
import type { LayerRow, LayerState } from "./layer-states.ts";

const HOW: Readonly<Record<Extract<LayerState, { kind: "done" }>["how"], string>> = {
  ingested: "ingested",
  "in-store": "already in the store",
  "ingested-elsewhere": "ingested by another process",
};

/** At most `height` lines. If there are more layers, only active ones are shown, and the rest is counted. */
export function layerLines(rows: readonly LayerRow[], { width, height }: { readonly width: number; readonly height: number }): string[] {
  const shown = rows.length <= height ? rows : rows.filter(isActive).slice(0, Math.max(0, height - 1));
  const lines = shown.map((row) => layerLine(row));
  if (shown.length < rows.length) lines.push(summary(rows, shown));
  return lines.slice(0, Math.max(0, height)).map((line) => line.slice(0, Math.max(0, width)));
}

/** `<12 digits>  <state>`. */
function layerLine({ digest, state, rate }: LayerRow): string {
  return `${shortDigest(digest)}  ${describe(state, rate)}`;
}

/** The first twelve digits, as Docker shows them. */
export function shortDigest(digest: string): string {
  return digest.slice(digest.indexOf(":") + 1).slice(0, 12);
}

/** Completes "layer 3: ...". */
export function retryText({ code, message, delayMs }: Extract<ProgressEvent, { kind: "retrying" }>): string {
  return `retrying${delayMs < 50 ? "" : ` in ${showDuration(delayMs)}`}: ${code}: ${showMessage(nameOptions(message))}`;
}

function describe(state: LayerState, rate: number | undefined): string {
  switch (state.kind) {
    case "waiting":
      return "waiting";
    case "downloading": {
      const speed = rate === undefined ? "" : `  ${showSize(rate)}/s`;
      // no bar if the size of the blob is unknown
      if (state.total === 0) return `${showSize(state.bytes)}${speed}`;
      return `${share(state.bytes, state.total)} ${showSize(state.bytes).padStart(7)} / ${showSize(state.total).padEnd(7)}${speed}`.trimEnd();
    }
    case "ingesting":
      return `ingesting ${showSize(state.bytes)}`;
    case "linking":
      return `${share(state.entries, state.total)} linking ${showCount(state.total, "entry")}`;
    case "ready":
    case "done":
      return state.how === "ingested" ? `${HOW[state.how]} ${showSize(state.bytes)}` : HOW[state.how];
    case "failed":
      // stopped by the failure of another layer, or by the user
      if (state.code === "ABORTED") return "stopped";
      return `failed: ${state.code.replaceAll(/[^\x20-\x7e]/g, "?")}`;
    default:
      return assertNever(state);
  }
}

function share(done: number, total: number): string {
  const percent = total > 0 ? Math.min(100, Math.max(0, (100 * done) / total)) : 100;
  return `${bar(percent)} ${showPercent(percent)}`;
}

function isActive({ state }: LayerRow): boolean {
  return state.kind !== "waiting" && state.kind !== "ready" && state.kind !== "done";
}

function summary(rows: readonly LayerRow[], shown: readonly LayerRow[]): string {
  const finished = rows.filter(({ state }) => state.kind === "ready" || state.kind === "done").length;
  return `${showCount(rows.length, "layer")}: ${finished} finished, ${rows.length - shown.length - finished} more`;
}
