/**
 * Deletes a directory tree, one name at a time. Follows no symlink. Makes directories accessible that their owner cannot read or write. Opens
 * only one descriptor at a time, so it works even when descriptors have run out.
 */
import { chmodSync, lstatSync, readdirSync, rmdirSync, unlinkSync, type Dirent } from "node:fs";
import { dirname } from "node:path/posix";
import { fsPath, toByteString, type ByteString } from "../bytes.ts";
import { isErrno } from "../errors.ts";

interface Level {
  readonly path: ByteString;
  /** Subdirectories that remain. */
  readonly below: ByteString[];
}

/** Yields after each name. Names that are already missing, including the directory itself, are not errors. */
export function* deleteDirectory(directory: string): Generator<void, void> {
  const root = toByteString(directory);
  if (!isDirectory(root)) return drop(unlinkSync, root);
  const levels: Level[] = [{ path: root, below: yield* deleteFiles(root) }];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const next = level.below.pop();
    if (next !== undefined) {
      levels.push({ path: next, below: yield* deleteFiles(next) });
      continue;
    }
    drop(rmdirSync, level.path);
    levels.pop();
    yield;
  }
}

/** Deletes everything except subdirectories, and returns those. */
function* deleteFiles(directory: ByteString): Generator<void, ByteString[]> {
  const below: ByteString[] = [];
  for (const entry of list(directory)) {
    const path = `${directory}/${entry.name}` as ByteString;
    if (entry.isDirectory()) below.push(path);
    else drop(unlinkSync, path);
    yield;
  }
  return below;
}

/** Names are byte strings. */
function list(directory: ByteString): Dirent[] {
  const read = (): Dirent[] => readdirSync(fsPath(directory), { withFileTypes: true, encoding: "latin1" });
  try {
    return read();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    if (!isErrno(error, "EACCES")) throw error;
  }
  chmodSync(fsPath(directory), 0o700);
  return read();
}

function drop(call: (path: string | Buffer) => void, path: ByteString): void {
  try {
    return call(fsPath(path));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (!isErrno(error, "EACCES")) throw error;
  }
  chmodSync(fsPath(dirname(path) as ByteString), 0o700);
  call(fsPath(path));
}

function isDirectory(path: ByteString): boolean {
  return lstatSync(fsPath(path), { throwIfNoEntry: false })?.isDirectory() === true;
}
