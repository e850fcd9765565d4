/**
 * The progress record in a layer's lock file, for processes that wait for the lock. 64 bytes, little-endian: u32 version (1), u32
 * phase (1 fetching, 2 settling), u64 bytes fetched, u64 total bytes, u64 entries, u32 pid, u32 zero, u64 start (ms since 1970),
 * zeros. It is only a hint: the process that wrote it may be dead.
 */
import { writeSync } from "node:fs";
import { readIfExists } from "../system/existing-file.ts";
import type { FileLock } from "../system/file-lock.ts";

export interface LockRecord {
  readonly phase: "fetching" | "settling";
  readonly bytes: number;
  readonly total: number;
  readonly entries: number;
}

const RECORD_BYTES = 64;
const INTERVAL_MS = 250;

/** Writes the record of one ingest, at most four times per second. */
export class LockRecorder {
  readonly #lock: FileLock;
  readonly #start: number = Date.now();
  #last = Number.NEGATIVE_INFINITY;

  constructor(lock: FileLock) {
    this.#lock = lock;
  }

  write(record: LockRecord): void {
    const now = performance.now();
    if (now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    const bytes = Buffer.alloc(RECORD_BYTES);
    bytes.writeUInt32LE(1, 0);
    bytes.writeUInt32LE(record.phase === "fetching" ? 1 : 2, 4);
    bytes.writeBigUInt64LE(BigInt(record.bytes), 8);
    bytes.writeBigUInt64LE(BigInt(record.total), 16);
    bytes.writeBigUInt64LE(BigInt(record.entries), 24);
    bytes.writeUInt32LE(process.pid, 32);
    bytes.writeBigUInt64LE(BigInt(this.#start), 40);
    writeSync(this.#lock.fd, bytes, 0, RECORD_BYTES, 0);
  }
}

/** Undefined if the file contains no record, or was deleted meanwhile. */
export function readLockRecord(path: string): LockRecord | undefined {
  const bytes = readIfExists(path);
  if (!bytes || bytes.length < RECORD_BYTES || bytes.readUInt32LE(0) !== 1) return undefined;
  const number = (at: number): number => Number(bytes.readBigUInt64LE(at));
  return { phase: bytes.readUInt32LE(4) === 2 ? "settling" : "fetching", bytes: number(8), total: number(16), entries: number(24) };
}
