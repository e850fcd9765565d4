/**
 * The sweep generation: a u64 in locks/sweep that is raised before chunks are unlinked. If it has changed when an ingest publishes, the
 * ingest checks again that every chunk exists. See format/store.md, "Locks".
 */
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import type { FileLock } from "../system/file-lock.ts";

/** Raises the generation. The caller holds the lock exclusively. */
export function bumpGeneration(sweep: FileLock): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(read(sweep.fd) + 1n);
  writeSync(sweep.fd, bytes, 0, 8, 0);
}

/** Returns the generation. It needs no lock; while the caller holds the lock shared, the value cannot change. */
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
