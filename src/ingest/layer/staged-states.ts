/** What the staged tree of a layer has already, now that the whole layer is known. */
import { unlinkSync } from "node:fs";
import { fsPath, toByteString, type ByteString } from "../../bytes.ts";
import { ABSENT } from "../../store/staged-state.ts";
import { normalizePath } from "../../tar/entry-path.ts";
import type { EntryTable } from "./entry-table.ts";
import { Directory, type Child, type LayerModel } from "./layer-model.ts";
import { joinPath, type LiveNames } from "./live-names.ts";

export interface StagedLayer {
  readonly entries: EntryTable;
  readonly model: LayerModel;
  /** Its directory. */
  readonly tree: string;
}

/**
 * The StagedState of each live name, a byte each. Undefined when the tree has what the layer does not end with; the caller makes another then.
 * Files with several names are taken out again: which attributes they end with, and which name comes first, no single entry tells.
 */
export function stagedStates(live: LiveNames, { entries, model, tree }: StagedLayer): SharedArrayBuffer | undefined {
  if (model.redirected) return undefined;
  const memory = new SharedArrayBuffer(live.count);
  const placed = new Uint8Array(memory);
  const root = toByteString(tree);
  const isLive = new Uint8Array(entries.count);
  for (let number = 1; number < live.count; number++) {
    const row = live.rows[number]!;
    if (row < 0) continue;
    isLive[row] = 1;
    const state = entries.state(row);
    if (state !== ABSENT && model.inodes.has(row))
      unlinkSync(fsPath(`${root}/${joinPath(live.directories[number]!, live.names[number]!)}` as ByteString));
    else placed[number] = state;
  }
  for (let row = 0; row < entries.count; row++) if (isLive[row] === 0 && !leavesNothing(row, entries, model)) return undefined;
  return memory;
}

/**
 * Whether what was made for an entry that is no more is a directory of the finished layer, as when an archive names one twice. For a file
 * that has no place at least the directory was made that it would have been in.
 */
function leavesNothing(row: number, entries: EntryTable, model: LayerModel): boolean {
  const kind = entries.kind(row);
  if ((kind !== "file" && kind !== "directory") || entries.path(row).includes(".wh.")) return true;
  const path = normalizePath(entries.path(row), entries.offset(row));
  if (kind === "directory") return isDirectory(path, model);
  return entries.state(row) === ABSENT && isDirectory(path.slice(0, Math.max(path.lastIndexOf("/"), 0)), model);
}

function isDirectory(path: string, { root }: LayerModel): boolean {
  let child: Child | undefined = root;
  for (const name of path === "" ? [] : path.split("/"))
    child = child instanceof Directory ? child.children?.get(name as ByteString) : undefined;
  return child instanceof Directory;
}
