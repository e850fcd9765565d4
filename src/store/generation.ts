/**
 * The sweep's generation: a u64 in the file locks/sweep, raised before chunks are unlinked. An ingest whose generation is another
 * one when it publishes looks again whether every chunk is still there.
 */
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import type { FileLock } from "../system/file-lock.ts";

/** Under the exclusive lock. */
export function bumpGeneration(sweep: FileLock): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(read(sweep.fd) + 1n);
  writeSync(sweep.fd, bytes, 0, 8, 0);
}

/** Needs no lock to be taken early; under the shared lock it cannot change. */
export function readGeneration(path: string): bigint {
  const fd = openSync(path, constants.O_RDONLY | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    return read(fd);
  } finally {
    closeSync(fd);
  }
}

function read(fd: number): bigint {
  const bytes = Buffer.alloc(8);
  readSync(fd, bytes, 0, 8, 0);
  return bytes.readBigUInt64LE();
}
