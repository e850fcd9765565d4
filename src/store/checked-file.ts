/**
 * Small JSON files with a checksum: the SHA-256 of the rest in hex, a line feed, JSON. A damaged file counts as missing. They are not
 * MessagePack because a cached pull, on the boot path of a sandbox, reads them and must not load msgpackr.
 */
import type { BigIntStats } from "node:fs";
import { isErrno, type Warn } from "../errors.ts";
import { durableWrite } from "../system/durable-write.ts";
import { readIfExists } from "../system/existing-file.ts";
import { sha256 } from "../system/sha256.ts";

const { closeSync, fstatSync, openSync, readSync, statSync } = process.getBuiltinModule("node:fs");

/** Replaces the whole file durably. `staging` is a directory on the same file system. */
export function writeChecked(path: string, value: unknown, staging: string): void {
  const body = JSON.stringify(value);
  durableWrite(path, `${sha256(body).toString("hex")}\n${body}`, staging);
}

/** Returns the value; undefined if the file is missing or, with a warning, if it is damaged. */
export function readChecked(path: string, warn: Warn): unknown {
  const bytes = readIfExists(path);
  return bytes && parse(bodyOf(bytes, path, warn));
}

interface Kept {
  readonly file: BigIntStats;
  readonly body: string;
}

/** Number of kept files, and bytes of the longest: together no more than 16 MiB. */
const MAX_KEPT = 256;
const MAX_KEPT_BYTES = 65_536;
/** Age in ms from which a file is kept. Time stamps may have a resolution of one second, so a change right after another could be missed. */
const SETTLED_AFTER = 2000;

/**
 * Reads the same checked files repeatedly. It keeps the text of intact files, and one stat shows whether the path still leads to the same
 * file, because files are replaced by rename and never written in place. Each read returns a new value.
 */
export class CheckedFiles {
  readonly #kept = new Map<string, Kept>();

  /** Returns the value as readChecked() does. */
  read(path: string, warn: Warn): unknown {
    const kept = this.#kept.get(path);
    if (kept && isSameFile(kept.file, statSync(path, { bigint: true, throwIfNoEntry: false }))) return parse(kept.body);
    this.#kept.delete(path);
    const found = openAndRead(path);
    const body = found && bodyOf(found.bytes, path, warn);
    if (found && body !== undefined) this.#keep(path, { file: found.file, body });
    return parse(body);
  }

  #keep(path: string, kept: Kept): void {
    if (kept.file.size > MAX_KEPT_BYTES || Date.now() - Number(kept.file.ctimeMs) < SETTLED_AFTER) return;
    const oldest = this.#kept.size < MAX_KEPT ? undefined : this.#kept.keys().next().value;
    if (oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(path, kept);
  }
}

function isSameFile(a: BigIntStats, b: BigIntStats | undefined): boolean {
  return b !== undefined && a.ino === b.ino && a.ctimeNs === b.ctimeNs && a.mtimeNs === b.mtimeNs && a.size === b.size && a.dev === b.dev;
}

function openAndRead(path: string): { readonly file: BigIntStats; readonly bytes: Buffer } | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    const file = fstatSync(fd, { bigint: true });
    return { file, bytes: readWhole(fd, Number(file.size)) };
  } finally {
    closeSync(fd);
  }
}

function readWhole(fd: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let length = 0;
  while (length < size) {
    const count = readSync(fd, bytes, length, size - length, length);
    if (count === 0) break;
    length += count;
  }
  return bytes.subarray(0, length);
}

function bodyOf(bytes: Buffer, path: string, warn: Warn): string | undefined {
  const text = bytes.toString("utf8");
  const body = text.slice(65);
  if (text[64] === "\n" && sha256(body).toString("hex") === text.slice(0, 64)) return body;
  warn("STORE_DAMAGED", `${JSON.stringify(path)} is damaged and counts as missing; pulling the image again replaces it`);
  return undefined;
}

function parse(body: string | undefined): unknown {
  return body === undefined ? undefined : JSON.parse(body);
}
