/** Compares the live entries of two layers by path. */
import { comparePaths, type Sidecar } from "../../format/index.ts";
import { showBytes, type ByteString } from "../bytes.ts";
import { bytesJson, entryJson, entryLine } from "./entry-text.ts";

export type EntryDifference =
  | { readonly kind: "removed" | "added"; readonly sidecar: Sidecar; readonly entry: number }
  /** The changed fields, each with the value before and after. */
  | { readonly kind: "changed"; readonly path: string; readonly fields: Readonly<Record<string, readonly [unknown, unknown]>> };

/** Yields the differences in the order of paths. Ignores positions in the tar. */
export function* compareSidecars(before: Sidecar, after: Sidecar): Generator<EntryDifference> {
  let [a, b] = [0, 0];
  while (a < before.live || b < after.live) {
    const order = a === before.live ? 1 : b === after.live ? -1 : comparePaths(before.path(a), after.path(b));
    if (order < 0) yield { kind: "removed", sidecar: before, entry: a++ };
    else if (order > 0) yield { kind: "added", sidecar: after, entry: b++ };
    else {
      const fields = changedFields(comparable(before, a), comparable(after, b++));
      if (Object.keys(fields).length > 0) yield { kind: "changed", path: before.path(a), fields };
      a++;
    }
  }
}

export function differenceLines(difference: EntryDifference): string[] {
  if (difference.kind !== "changed") {
    return [`${difference.kind === "added" ? "+" : "-"} ${entryLine(difference.sidecar, difference.entry)}`];
  }
  const path = difference.path === "" ? "." : showBytes(difference.path as ByteString, Infinity);
  return Object.entries(difference.fields).map(
    ([field, [from, to]]) => `~ ${path}: ${field} ${valueText(field, from)} -> ${valueText(field, to)}`,
  );
}

export function differenceJson(difference: EntryDifference): Record<string, unknown> {
  if (difference.kind === "changed") return { kind: "changed", path: bytesJson(difference.path), fields: difference.fields };
  return { kind: difference.kind, entry: entryJson(difference.sidecar, difference.entry, null) };
}

function comparable(sidecar: Sidecar, entry: number): Record<string, unknown> {
  const positions = new Set(["entry", "order", "offset", "path"]);
  return Object.fromEntries(Object.entries(entryJson(sidecar, entry, null)).filter(([field]) => !positions.has(field)));
}

function changedFields(before: Record<string, unknown>, after: Record<string, unknown>): Record<string, readonly [unknown, unknown]> {
  const changed = Object.keys(before).filter((field) => JSON.stringify(before[field]) !== JSON.stringify(after[field]));
  return Object.fromEntries(changed.map((field) => [field, [before[field], after[field]]]));
}

function valueText(field: string, value: unknown): string {
  if (field === "mode") return `0${(value as number).toString(8)}`;
  return typeof value === "string" ? showBytes(Buffer.from(value)) : JSON.stringify(value);
}
