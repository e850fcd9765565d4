import { createHash } from "node:crypto";
import { readSync } from "node:fs";

/** The SHA-256 of an open file, from its first byte to its end, read through `buffer`. */
export function hashOpenFile(fd: number, buffer: Buffer): Buffer {
  const hash = createHash("sha256");
  for (let at = 0; ;) {
    const read = readSync(fd, buffer, 0, buffer.length, at);
    if (read === 0) return hash.digest();
    hash.update(buffer.subarray(0, read));
    at += read;
  }
}
