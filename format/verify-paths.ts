import { comparePaths, Flag, isName, isPath, parentOf, S_IFDIR, S_IFMT } from "./entry.ts";
import type { EntryColumns } from "./entry-columns.ts";
import { invalid } from "./sidecar-error.ts";

/** Checks live paths: valid, unique, in order, and each in a live directory. */
export function verifyPaths(columns: EntryColumns): void {
  const directories = new Set<string>();
  const parents = new Set<string>();
  let entry = 0;
  for (const path of columns.layout.indexed ? indexedPaths(columns) : unindexedPaths(columns)) {
    if ((columns.mode(entry) & S_IFMT) === S_IFDIR) directories.add(path);
    if (entry > 0) parents.add(parentOf(path));
    entry++;
  }
  if (!directories.has("")) throw invalid("mode", columns.layout.spans.mode.start);
  for (const parent of parents) if (!directories.has(parent)) throw invalid("path", columns.layout.spans.path.start);
}

/** Yields the live paths of the indexed form, and checks their order. */
function* indexedPaths(columns: EntryColumns): Generator<string, void, undefined> {
  const { spans } = columns.layout;
  const rows = spans.dirPathEnd.length / 4;
  const firstOf = (row: number): number => columns.pages.u32(spans.dirFirst.start + row * 4);
  if (columns.storedPath(0) !== "" || firstOf(0) !== 1) throw invalid("dirFirst", spans.dirFirst.start);
  yield "";
  let previous = "";
  let entry = 1;
  for (let row = 0; row < rows; row++) {
    const directory = columns.directory(row);
    const end = firstOf(row + 1);
    if (!isPath(directory) || end <= entry || end > columns.live) throw invalid("dirFirst", spans.dirFirst.start + row * 4);
    for (; entry < end; entry++) {
      const name = columns.storedPath(entry);
      const path = directory === "" ? name : `${directory}/${name}`;
      if (!isName(name) || comparePaths(previous, path) >= 0) throw invalid("path", spans.pathEnd.start + entry * 4);
      previous = path;
      yield path;
    }
  }
  if (entry !== columns.live) throw invalid("dirFirst", spans.dirFirst.start + rows * 4);
}

/** Yields the live paths of the unindexed form. Checks that implicit entries follow those of the tar, sorted; verifyOrder() checks the others. */
function* unindexedPaths(columns: EntryColumns): Generator<string, void, undefined> {
  const seen = new Set<string>();
  let lastImplicit: string | undefined;
  for (let entry = 0; entry < columns.live; entry++) {
    const path = columns.path(entry);
    const implicit = entry > 0 && (columns.flags(entry) & Flag.implicit) !== 0;
    const misplaced = lastImplicit !== undefined && (!implicit || path <= lastImplicit);
    if (misplaced || seen.has(path)) throw invalid("path", columns.layout.spans.pathEnd.start + entry * 4);
    if (implicit) lastImplicit = path;
    seen.add(path);
    yield path;
  }
}
