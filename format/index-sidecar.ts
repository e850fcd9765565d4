import { indexColumns } from "./index-columns.ts";
import { openSource } from "./open-columns.ts";

/**
 * The indexed form of an unindexed sidecar (a path, a descriptor that stays the caller's, or bytes): the very bytes that
 * encoding the same entries indexed gives. Columns of a later writer are lost, since entries change their numbers. Of an
 * indexed sidecar: undefined, as there is nothing to do. Throws SidecarError.
 */
export async function indexSidecar(source: string | number | Uint8Array): Promise<Buffer | undefined> {
  const columns = await openSource(source);
  try {
    return columns.layout.indexed ? undefined : await indexColumns(columns);
  } finally {
    columns.close();
  }
}
