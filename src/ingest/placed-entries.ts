/** What the staged tree of a layer has already, now that the whole layer is known. */
import { unlinkSync } from "node:fs";
import { fsPath, toByteString, type ByteString } from "../bytes.ts";
import { ABSENT } from "../store/placing.ts";
import { normalizePath } from "../tar/entry-path.ts";
import type { EntryTable } from "./entry-table.ts";
import type { LayerModel, Node } from "./layer-model.ts";
import type { Placed } from "./place-entries.ts";

export interface StagedLayer {
  readonly rows: EntryTable;
  readonly model: LayerModel;
  /** Its directory. */
  readonly tree: string;
}

/**
 * The Placing of each live entry, a byte each. Undefined when the tree has what the layer does not end with; the caller makes another then.
 * Files with several names are taken out again: which attributes they end with, and which name comes first, no single entry tells.
 */
export function placedEntries(live: readonly Placed[], { rows, model, tree }: StagedLayer): SharedArrayBuffer | undefined {
  if (model.redirected) return undefined;
  const memory = new SharedArrayBuffer(live.length);
  const placed = new Uint8Array(memory);
  const root = toByteString(tree);
  const isLive = new Uint8Array(rows.count);
  for (const [index, entry] of live.entries()) {
    const { row, node } = entry;
    if (row < 0) continue;
    isLive[row] = 1;
    const placing = rows.placing(row);
    if (placing === ABSENT) continue;
    if (node?.inode?.linked === true) unlinkSync(fsPath(`${root}/${entry.path}` as ByteString));
    else placed[index] = placing;
  }
  for (let row = 0; row < rows.count; row++)
    if (!isLive[row] && rows.placing(row) !== ABSENT && !isLiveDirectory(row, rows, model)) return undefined;
  return memory;
}

/** Archives name a directory twice now and then. */
function isLiveDirectory(row: number, rows: EntryTable, { root }: LayerModel): boolean {
  const { kind, path, offset } = rows.row(row);
  if (kind !== "directory") return false;
  let node: Node | undefined = root;
  for (const name of normalizePath(path, offset).split("/")) node = node?.child(name as ByteString);
  return node?.isDirectory === true;
}
