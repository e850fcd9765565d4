/** Interrupted downloads stay in staging/downloads/ so that a later pull resumes them. Old ones are removed. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { namesIn } from "../system/names-in.ts";
import { FileLock } from "../system/file-lock.ts";
import type { StoreLayout } from "./layout.ts";

/** Age in ms at which an unused download is removed. */
const KEPT_MS = 24 * 3600 * 1000;

export interface SweptDownload {
  readonly name: string;
  readonly bytes: number;
}

/** Removes downloads that were not continued for a day, unless a pull holds them. A dry run returns them and removes nothing. */
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
