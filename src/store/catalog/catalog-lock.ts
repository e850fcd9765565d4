/** The lock of the catalog, and a second lock that shows its holder that another process waits. */
import { isErrno } from "../../errors.ts";
import { FileLock } from "../../system/file-lock.ts";
import type { StoreLayout } from "../layout.ts";

/** Takes the lock. A waiter holds `db-waiting`, so that a long-running holder yields. */
export async function acquireCatalogLock(layout: StoreLayout, signal?: AbortSignal): Promise<FileLock> {
  signal?.throwIfAborted();
  const free = FileLock.try(layout.lock("db"));
  if (free) return free;
  using waiting = await FileLock.acquire(layout.lock("db-waiting"), { mode: "shared", signal });
  void waiting;
  return await FileLock.acquire(layout.lock("db"), { signal });
}

/** True while another process waits for the lock that the caller holds. Also true if that cannot be determined: the caller then yields. */
export function isCatalogWanted(layout: StoreLayout): boolean {
  try {
    const nobody = FileLock.try(layout.lock("db-waiting"));
    nobody?.release();
    return nobody === undefined;
  } catch (error) {
    if (isErrno(error)) return true;
    throw error;
  }
}
