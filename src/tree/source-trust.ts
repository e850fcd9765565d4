/**
 * Which link sources need not be read before they are linked. After a crash of the machine a file may have its size, mode and time,
 * and zeros for content: what is older than this boot is known good only if its layer says so, or if somebody has read it since.
 */
import { appendFileSync, closeSync, readFileSync, type BigIntStats } from "node:fs";
import { isErrno } from "../errors.ts";
import { chunkPath } from "../store/layout.ts";
import { openIfExists } from "../system/existing-file.ts";
import { hasContent } from "./link-source.ts";
import type { LinkSource } from "./link-source.ts";

export interface TrustTerms {
  /** When this boot of the machine began to write to the store, ms since 1970: what was born later is as it was written. */
  readonly since: number;
  /** A file of this boot: the link sources that were read in it, as lines of paths below chunks/. It may be lost: then they are read again. */
  readonly verified: string;
}

export class SourceTrust {
  readonly #chunks: string;
  readonly #terms: TrustTerms;
  /** Read when a source is first in doubt. */
  #verified: Set<string> | undefined;

  constructor(chunks: string, terms: TrustTerms) {
    this.#chunks = chunks;
    this.#terms = terms;
  }

  /** True when the file, whose lstat is right, has its content; one in doubt is read, at most once in a boot. */
  isWhole(path: string, stat: BigIntStats, source: LinkSource): boolean {
    return this.isTrusted(path, stat, source) || this.#isRight(path, source);
  }

  isTrusted(path: string, stat: BigIntStats, source: LinkSource): boolean {
    if (Number(stat.birthtimeMs) >= this.#terms.since) return true;
    if (Number(stat.birthtimeMs) < source.vouchedBefore && path === chunkPath(this.#chunks, source.native(), 0)) return true;
    this.#verified ??= new Set(readLines(this.#terms.verified));
    return this.#verified.has(path.slice(this.#chunks.length + 1));
  }

  /** Says that the content was read, and is right. */
  remember(path: string): void {
    const name = path.slice(this.#chunks.length + 1);
    this.#verified?.add(name);
    try {
      appendFileSync(this.#terms.verified, `${name}\n`, { mode: 0o600 });
    } catch (error) {
      // no room: it will be read once more
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
