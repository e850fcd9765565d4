/** Checks the store's directories: missing ones, foreign names, and files that dead processes left. */
import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../errors.ts";
import { parseTreeId } from "../store/ids.ts";
import { isPendingEdges, parseLayerName, parseStagingName, WORK_OWNER } from "../store/layout.ts";
import { FileLock } from "../system/file-lock.ts";
import { namesIn } from "../system/names-in.ts";
import type { FsckContext } from "./fsck-context.ts";
import { finding, type Finding } from "./finding.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

export async function* checkDirectories(context: FsckContext): AsyncGenerator<Finding> {
  const { layout } = context;
  const mode = statSync(layout.root).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    const found = finding("root-permissions", ".", { expected: "0700", found: `0${mode.toString(8)}` });
    yield await context.corrected(found, "chmod 0700", () => chmodSync(layout.root, 0o700));
  }
  for (const directory of layout.directories) {
    if (lstatSync(directory, { throwIfNoEntry: false })?.isDirectory()) continue;
    const found = finding("directory-missing", context.relative(directory));
    yield await context.corrected(found, "made", () => void mkdirSync(directory, { recursive: true, mode: 0o700 }));
  }
  yield* foreignNames(context, layout.root, (name) => layout.rootNames.has(name));
  yield* foreignNames(context, layout.layers, (name) => parseLayerName(name) !== undefined);
  yield* foreignNames(context, layout.edges, isPendingEdges);
  yield* foreignNames(context, layout.trees, (name) => parseTreeId(name) !== undefined);
  yield* checkLocks(context);
}

/** Reports names that the format does not define. A repair moves them to staging, where a person can still examine them. */
export async function* foreignNames(context: FsckContext, directory: string, isOurs: (name: string) => boolean): AsyncGenerator<Finding> {
  for (const name of namesIn(directory).toSorted()) {
    if (isOurs(name)) continue;
    const path = join(directory, name);
    yield await context.corrected(finding("name-foreign", context.relative(path)), "moved to staging", () => context.setAside(path));
  }
}

/** Checks that each lock is a regular file. Lock files are never deleted, whatever their name. */
async function* checkLocks(context: FsckContext): AsyncGenerator<Finding> {
  const { locks } = context.layout;
  for (const name of namesIn(locks).toSorted()) {
    const stat = lstatSync(join(locks, name), { throwIfNoEntry: false });
    if (!stat || stat.isFile()) continue;
    const found = finding("lock-type", context.relative(join(locks, name)), {
      expected: "a regular file",
      found: `mode 0${stat.mode.toString(8)}`,
    });
    yield await context.corrected(found, "moved to staging", () => context.setAside(join(locks, name)));
  }
}

/** Reports work directories of dead processes, and other names that are older than a day. */
export async function* checkStaging(context: FsckContext): AsyncGenerator<Finding> {
  const { staging } = context.layout;
  for (const name of namesIn(staging).toSorted()) {
    const path = join(staging, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (!stat) continue;
    // a time in the future is of a clock that was wrong
    const age = Math.abs(Date.now() - stat.mtimeMs);
    const { kind } = parseStagingName(name);
    const isLeftover = kind === "work" ? isDead(path, context) : kind !== "downloads" && age > DAY_MS;
    if (!isLeftover) continue;
    const found = finding("staging-leftover", context.relative(path), { found: `${Math.round(age / 1000)} s old` });
    yield await context.corrected(found, "removed", () => rmSync(path, { recursive: true, force: true }));
  }
}

/** A directory without an owner file may have been created just now, so it counts as dead only after a minute. */
function isDead(path: string, context: FsckContext): boolean {
  const owner = join(path, WORK_OWNER);
  if (!existsSync(owner)) return Math.abs(Date.now() - (lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())) > 60_000;
  try {
    const lock = FileLock.try(owner);
    lock?.release();
    return lock !== undefined;
  } catch (error) {
    // a store that is read-only has no living owners
    if (isErrno(error, "EROFS", "EACCES")) return !context.repairing;
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}
