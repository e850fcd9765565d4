/** Small JSON files that carry their own checksum: SHA-256 of the rest in hex, a newline, JSON. A damaged one counts as missing. */
import type { BigIntStats } from "node:fs";
import { isErrno } from "../errors.ts";
import { durableWrite } from "../system/durable-write.ts";
import { readIfExists } from "../system/existing-file.ts";
import { sha256 } from "../system/sha256.ts";

const { closeSync, fstatSync, openSync, readSync, statSync } = process.getBuiltinModule("node:fs");

/** Replaces the file as a whole, durably. `staging` is on the same file system. */
export function writeChecked(path: string, value: unknown, staging: string): void {
  const body = JSON.stringify(value);
  durableWrite(path, `${sha256(body).toString("hex")}\n${body}`, staging);
}

type Warn = (code: string, message: string) => void;

/** The value, or undefined when the file is absent or (with a warning) damaged. */
export function readChecked(path: string, warn: Warn): unknown {
  const bytes = readIfExists(path);
  return bytes && parse(bodyOf(bytes, path, warn));
}

interface Kept {
  readonly file: BigIntStats;
  readonly body: string;
}

/** Files kept, and the longest of them in bytes: together 16 MiB at most. */
const MAX_KEPT = 256;
const MAX_KEPT_BYTES = 65_536;
/** In ms; clocks of file systems tick as slowly as once a second: a file changed just now could change again unseen. */
const SETTLED_AFTER = 2000;

/**
 * Reads the same checked files again and again: what was whole when it was read is kept as text, and one stat tells whether the path
 * still leads to that file. They are replaced by rename, never written in place. Each read gives a value of its own.
 */
export class CheckedFiles {
  readonly #kept = new Map<string, Kept>();

  /** As readChecked(). */
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
