/** The lock of the catalog, and the one beside it that tells its holder that somebody waits. */
import { isErrno } from "../../errors.ts";
import { FileLock } from "../../system/file-lock.ts";
import type { StoreLayout } from "../layout.ts";

/** Who has to wait says so: a holder that would go on for long lets go. */
export async function acquireCatalogLock(layout: StoreLayout, signal?: AbortSignal): Promise<FileLock> {
  signal?.throwIfAborted();
  const free = FileLock.try(layout.lock("db"));
  if (free) return free;
  using waiting = await FileLock.acquire(layout.lock("db-waiting"), { mode: "shared", signal });
  void waiting;
  return await FileLock.acquire(layout.lock("db"), { signal });
}

/** True while another waits for the lock that the caller has, or cannot be seen to wait, for whatever reason: then nothing is worth holding it. */
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
