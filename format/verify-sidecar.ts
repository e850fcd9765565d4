import { openSource } from "./open-columns.ts";
import { invalid } from "./sidecar-error.ts";
import { encodeBinStart } from "./sidecar-header.ts";
import type { EntryColumns } from "./entry-columns.ts";
import { COLUMNS } from "./columns.ts";
import type { ColumnName } from "./columns.ts";
import { verifyEntries } from "./verify-entries.ts";
import { verifyPaths } from "./verify-paths.ts";
import { verifyHardLinks, verifyOrder, verifyTables } from "./verify-tables.ts";

/** Facts about a valid sidecar. */
export interface VerifiedSidecar {
  readonly diffId: Buffer;
  readonly count: number;
  readonly live: number;
  readonly indexed: boolean;
  /** Keys that this version does not know. Their checksums are correct; their content is not checked. */
  readonly unknownKeys: readonly string[];
}

/**
 * Checks every rule of sidecar.md: all checksums, every field of every entry, and all orders. `source` is a path, a descriptor that the
 * caller closes, or the bytes. It blocks for a few microseconds per entry: call it in a worker for a large layer.
 * @throws SidecarError at the first broken rule
 */
export async function verifySidecar(source: string | number | Uint8Array): Promise<VerifiedSidecar> {
  const columns = await openSource(source);
  try {
    columns.pages.verify();
    verifyKeys(columns);
    verifyEnds(columns, "path", "pathEnd");
    verifyEnds(columns, "dirPath", "dirPathEnd");
    verifyEnds(columns, "xattrs", "xattrsEnd");
    verifyEnds(columns, "linkPath", "linkPathEnd");
    verifyPaths(columns);
    verifyEntries(columns);
    verifyTables(columns);
    verifyHardLinks(columns);
    verifyOrder(columns);
    const { diffId, count, live, layout, unknownKeys } = columns;
    return { diffId, count, live, indexed: layout.indexed, unknownKeys };
  } finally {
    columns.close();
  }
}

/** Checks the keys and lengths inside the map, which readers skip because they use `lengths`. */
function verifyKeys({ layout, pages }: EntryColumns): void {
  for (const name of COLUMNS) {
    const { start, length } = layout.spans[name];
    const expected = encodeBinStart(name, length);
    const at = start - expected.length;
    if (!pages.copy(at, expected.length).equals(expected)) throw invalid(name, at);
  }
}

/** Checks that end offsets never fall and that the last one is the end. */
function verifyEnds({ layout, pages }: EntryColumns, bytes: ColumnName, ends: ColumnName): void {
  const { start, length } = layout.spans[ends];
  let previous = 0;
  for (let at = start; at < start + length; at += 4) {
    const end = pages.u32(at);
    if (end < previous) throw invalid(ends, at);
    previous = end;
  }
  if (previous !== layout.spans[bytes].length) throw invalid(bytes, layout.spans[bytes].start);
}
