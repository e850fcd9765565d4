/** Small JSON files that carry their own checksum: SHA-256 of the rest in hex, a newline, JSON. A damaged one counts as missing. */
import { hash } from "node:crypto";
import { readFileSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { durableWrite } from "../system/durable-write.ts";

/** Replaces the file as a whole, durably. `staging` is on the same file system. */
export function writeChecked(path: string, value: unknown, staging: string): void {
  const body = JSON.stringify(value);
  durableWrite(path, `${hash("sha256", body)}\n${body}`, staging);
}

/** The value, or undefined when the file is absent or (with a warning) damaged. */
export function readChecked(path: string, warn: (code: string, message: string) => void): unknown {
  const text = readIfThere(path)?.toString("utf8");
  if (text === undefined) return undefined;
  const body = text.slice(65);
  if (text[64] === "\n" && hash("sha256", body) === text.slice(0, 64)) return JSON.parse(body);
  warn("STORE_DAMAGED", `${JSON.stringify(path)} is damaged and counts as missing; pulling the image again replaces it`);
  return undefined;
}

export function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
