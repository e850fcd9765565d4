/** Downloads that were cut off wait in staging/downloads/ to be continued; those that nobody came back for are swept. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { namesIn } from "../system/names-in.ts";
import { FileLock } from "../system/file-lock.ts";
import type { StoreLayout } from "./layout.ts";

const KEPT_MS = 24 * 3600 * 1000;

export interface SweptDownload {
  readonly name: string;
  readonly bytes: number;
}

/** Removes what nobody came back for in a day; a dry run only says what that is. One that is being continued stays. */
export function sweepDownloads(layout: StoreLayout, options: { readonly now?: number; readonly dryRun?: boolean } = {}): SweptDownload[] {
  const { now = Date.now(), dryRun = false } = options;
  return namesIn(layout.downloads).flatMap((name) => {
    const path = join(layout.downloads, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat || Math.abs(now - stat.mtimeMs) < KEPT_MS) return [];
    using lock = FileLock.try(path);
    if (lock === undefined) return [];
    if (!dryRun) rmSync(path, { force: true });
    return [{ name, bytes: stat.size }];
  });
}
