import { openSource } from "./open-columns.ts";
import { invalid } from "./sidecar-error.ts";
import { encodeBinStart } from "./sidecar-header.ts";
import type { EntryColumns } from "./entry-columns.ts";
import { COLUMNS } from "./columns.ts";
import type { ColumnName } from "./columns.ts";
import { verifyEntries } from "./verify-entries.ts";
import { verifyPaths } from "./verify-paths.ts";
import { verifyHardLinks, verifyOrder, verifyTables } from "./verify-tables.ts";

/** What a sidecar that was found whole says of itself. */
export interface VerifiedSidecar {
  readonly diffId: Buffer;
  readonly count: number;
  readonly live: number;
  readonly indexed: boolean;
  /** Keys that this version does not know: their checksums are right, their content is not looked at. */
  readonly unknownKeys: readonly string[];
}

/**
 * Checks every rule of sidecar.md on a file (by path, or by a descriptor that stays the caller's) or its bytes: all
 * checksums, every field of every entry, the order of all that is ordered. Throws SidecarError at the first that is broken.
 * Takes a few microseconds an entry without a pause: for a large layer, call it in a worker.
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

/** The keys and lengths within the map, which readers that go by `lengths` pass over. */
function verifyKeys({ layout, pages }: EntryColumns): void {
  for (const name of COLUMNS) {
    const { start, length } = layout.spans[name];
    const expected = encodeBinStart(name, length);
    const at = start - expected.length;
    if (!pages.copy(at, expected.length).equals(expected)) throw invalid(name, at);
  }
}

/** End offsets never fall, and the last one is the end. */
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
