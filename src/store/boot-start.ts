/** The time of the first write to the store in this boot. An older file may have lost its content in a crash without looking wrong. */
import { ftruncateSync, readFileSync, writeSync } from "node:fs";
import { FileLock } from "../system/file-lock.ts";
import type { StoreLayout } from "./layout.ts";

/**
 * Returns milliseconds since 1970. The first call in a boot fixes the value; call it before writing. While another process fixes it, this
 * returns the current time, which is safe: a later time only causes more files to be checked.
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
