import { Flag, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "./entry.ts";
import type { EntryColumns } from "./entry-columns.ts";
import { invalid } from "./sidecar-error.ts";

const TYPES: readonly number[] = [0, S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK];

/** Checks the fields of each entry, alone and together. */
export function verifyEntries(columns: EntryColumns): void {
  for (let entry = 0; entry < columns.count; entry++) {
    const column = entry < columns.live ? faultOfLive(columns, entry) : faultOfShadowed(columns, entry);
    if (column !== undefined) throw invalid(column, columns.layout.spans.whiteout.start + entry);
    columns.mtime(entry);
    columns.mtimeNs(entry);
  }
}

/** Returns the first column whose value does not fit the entry's type. */
function faultOfLive(columns: EntryColumns, entry: number): string | undefined {
  const flags = columns.flags(entry);
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const mode = columns.modeAt(columns.modeRow(entry));
  const type = mode.mode & S_IFMT;
  const [file, directory] = [type === S_IFREG, type === S_IFDIR];
  if (has(Flag.whiteout) !== (type === 0)) return "mode";
  if ((has(Flag.opaque) || has(Flag.implicit)) && !directory) return "whiteout";
  if (has(Flag.sparse) && !file) return "whiteout";
  if (has(Flag.hardLink) && (directory || has(Flag.whiteout))) return "whiteout";
  const [size, offset] = [columns.size(entry), columns.offset(entry)];
  if (size > 0 !== columns.chunk(entry) >= 0 || (size > 0 && !file && !has(Flag.whiteout))) return "size";
  // only the tar needs the data of a whiteout marker, so it must have data of its own
  if (offset > 0 ? size === 0 : size > 0 && has(Flag.whiteout)) return "offset";
  if ((columns.target(entry) !== "") !== (type === S_IFLNK)) return "link";
  return faultOfMode(mode);
}

/** Checks that a shadowed entry is readable. Its values may be anything else. */
function faultOfShadowed(columns: EntryColumns, entry: number): string | undefined {
  if ((columns.flags(entry) & Flag.implicit) !== 0) return "whiteout";
  if (columns.offset(entry) > 0 && columns.chunk(entry) === -1) return "offset";
  columns.target(entry);
  columns.size(entry);
  return faultOfMode(columns.modeAt(columns.modeRow(entry)));
}

function faultOfMode({ mode, rdevMajor, rdevMinor }: { mode: number; rdevMajor: number; rdevMinor: number }): string | undefined {
  const type = mode & S_IFMT;
  const device = type === S_IFCHR || type === S_IFBLK || type === 0;
  return TYPES.includes(type) && (device || (rdevMajor === 0 && rdevMinor === 0)) ? undefined : "modeTable";
}
