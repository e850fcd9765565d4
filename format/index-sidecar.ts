import { indexColumns } from "./index-columns.ts";
import { openSource } from "./open-columns.ts";

/**
 * Returns the indexed form of an unindexed sidecar: the bytes that encodeSidecar() gives for the same entries. `source` is a path, a
 * descriptor that the caller closes, or the bytes. Drops the columns of a later version, because entries get new numbers.
 * Returns undefined if the sidecar is indexed already. @throws SidecarError
 */
export async function indexSidecar(source: string | number | Uint8Array): Promise<Buffer | undefined> {
  const columns = await openSource(source);
  try {
    return columns.layout.indexed ? undefined : await indexColumns(columns);
  } finally {
    columns.close();
  }
}
