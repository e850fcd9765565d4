/** What the staged tree of a layer has already, now that the whole layer is known. */
import { unlinkSync } from "node:fs";
import { fsPath, toByteString, type ByteString } from "../bytes.ts";
import { ABSENT } from "../store/placing.ts";
import { normalizePath } from "../tar/entry-path.ts";
import type { EntryTable } from "./entry-table.ts";
import { Directory, type Child, type LayerModel } from "./layer-model.ts";
import type { LiveNames } from "./place-entries.ts";

export interface StagedLayer {
  readonly entries: EntryTable;
  readonly model: LayerModel;
  /** Its directory. */
  readonly tree: string;
}

/**
 * The Placing of each live name, a byte each. Undefined when the tree has what the layer does not end with; the caller makes another then.
 * Files with several names are taken out again: which attributes they end with, and which name comes first, no single entry tells.
 */
export function placedEntries(live: LiveNames, { entries, model, tree }: StagedLayer): SharedArrayBuffer | undefined {
  if (model.redirected) return undefined;
  const memory = new SharedArrayBuffer(live.count);
  const placed = new Uint8Array(memory);
  const root = toByteString(tree);
  const isLive = new Uint8Array(entries.count);
  for (let number = 1; number < live.count; number++) {
    const row = live.rows[number]!;
    if (row < 0) continue;
    isLive[row] = 1;
    const placing = entries.placing(row);
    if (placing !== ABSENT && model.inodes.has(row)) unlinkSync(fsPath(join(root, live.directories[number]!, live.names[number]!)));
    else placed[number] = placing;
  }
  for (let row = 0; row < entries.count; row++)
    if (isLive[row] === 0 && entries.placing(row) !== ABSENT && !isLiveDirectory(row, entries, model)) return undefined;
  return memory;
}

function join(...names: readonly string[]): ByteString {
  return names.filter((name) => name !== "").join("/") as ByteString;
}

/** Archives name a directory twice now and then. */
function isLiveDirectory(row: number, entries: EntryTable, { root }: LayerModel): boolean {
  if (entries.kind(row) !== "directory") return false;
  let child: Child | undefined = root;
  for (const name of normalizePath(entries.path(row), entries.offset(row)).split("/"))
    child = child instanceof Directory ? child.children?.get(name as ByteString) : undefined;
  return child instanceof Directory;
}
