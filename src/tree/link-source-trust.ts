/**
 * Decides which link sources must be read before they are linked. After a machine crash a file may have the right size, mode and time, but
 * zeros as content. A file older than this boot is trusted only if its layer vouches for it, or if it was read since.
 */
import { appendFileSync, closeSync, readFileSync, type BigIntStats } from "node:fs";
import { isErrno } from "../errors.ts";
import { chunkPath } from "../store/layout.ts";
import { openIfExists } from "../system/existing-file.ts";
import { hasContent } from "./link-source.ts";
import type { LinkSource } from "./link-source.ts";

export interface TrustTerms {
  /** When this boot began to write to the store, ms since 1970. Files created later are intact. */
  readonly since: number;
  /** File of this boot with the link sources that were read: one path below chunks/ per line. If it is lost, they are read again. */
  readonly verified: string;
}

export class LinkSourceTrust {
  readonly #chunks: string;
  readonly #terms: TrustTerms;
  /** Loaded when a source is first in doubt. */
  #verified: Set<string> | undefined;

  constructor(chunks: string, terms: TrustTerms) {
    this.#chunks = chunks;
    this.#terms = terms;
  }

  /** True if the file, whose lstat is right, has its content. A file in doubt is read, once per boot. */
  isWhole(path: string, stat: BigIntStats, source: LinkSource): boolean {
    return this.isTrusted(path, stat, source) || this.#isRight(path, source);
  }

  isTrusted(path: string, stat: BigIntStats, source: LinkSource): boolean {
    if (Number(stat.birthtimeMs) >= this.#terms.since) return true;
    if (Number(stat.birthtimeMs) < source.vouchedBefore && path === chunkPath(this.#chunks, source.native(), 0)) return true;
    this.#verified ??= new Set(readLines(this.#terms.verified));
    return this.#verified.has(path.slice(this.#chunks.length + 1));
  }

  /** Records that the content was read and is right. */
  remember(path: string): void {
    const name = path.slice(this.#chunks.length + 1);
    this.#verified?.add(name);
    try {
      appendFileSync(this.#terms.verified, `${name}\n`, { mode: 0o600 });
    } catch (error) {
      // disk full: the file will be read again
      if (!isErrno(error, "ENOSPC", "EDQUOT")) throw error;
    }
  }

  #isRight(path: string, source: LinkSource): boolean {
    const fd = openIfExists(path);
    if (fd === undefined) return false;
    try {
      if (!hasContent(fd, source.chunk())) return false;
    } finally {
      closeSync(fd);
    }
    this.remember(path);
    return true;
  }
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
