/** Since when this boot of the machine writes to the store: what is older may have lost its content in a crash, though it looks right. */
import { ftruncateSync, readFileSync, writeSync } from "node:fs";
import { FileLock } from "../system/file-lock.ts";
import type { StoreLayout } from "./layout.ts";

/**
 * Milliseconds since 1970, settled by the first who asks in a boot; call it before writing. While another process settles it, it is
 * now: too late is safe, for it only makes one look at more.
 */
export function bootStart(layout: StoreLayout, bootId: string): number {
  const now = Date.now();
  using lock = FileLock.try(layout.lock("boot"));
  if (!lock) return now;
  const [id, since] = readFileSync(layout.lock("boot"), "utf8").trim().split(" ");
  if (id === bootId && Number.isSafeInteger(Number(since)) && Number(since) <= now) return Number(since);
  ftruncateSync(lock.fd, 0);
  writeSync(lock.fd, `${bootId} ${now}\n`, 0);
  return now;
}
