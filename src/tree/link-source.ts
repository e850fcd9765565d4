/**
 * Gives a name in a tree the inode that stands for its file. The source is linked as it is; one that is missing (another ordinal
 * or profile that nobody needed so far, or a file that gc took) is made from a sibling with the same content, by reflink or copy;
 * so is one that somebody has changed, and it is replaced.
 */
import { closeSync, constants, fstatSync, linkSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
import { applyToFile, processOwner } from "../store/attributes.ts";
import { chunkPath } from "../store/layout.ts";
import { Shards } from "../store/planted.ts";
import type { Owner, PhysicalAttributes } from "../store/profile.ts";
import { makeDirectory } from "../system/make-directory.ts";
import { tryReflink } from "../system/syscalls.ts";
import { hasContent, isUntouched, looksRight } from "./link-check.ts";

export interface LinkSource {
  /** 20 bytes. */
  readonly inode: Uint8Array;
  readonly ordinal: number;
  /** Bytes. */
  readonly size: number;
  readonly attributes: PhysicalAttributes;
  readonly mtime: number;
  readonly mtimeNs: number;
  /** The layer's native inode of the same content, made only when it is needed. */
  readonly native: () => Uint8Array;
  /** SHA-256 of the content, 32 bytes; asked for only when something looks wrong. */
  readonly chunk: () => Uint8Array;
}

/**
 * The ordinals that stand for one: itself, and those that EMLINK moves it to. No file of an image counts up that far, and each
 * belongs to its own ordinal alone, so that two files of an image still share no inode.
 */
export function* overflowOrdinals(ordinal: number): Generator<number, never> {
  for (let overflow = ordinal; ; overflow += 1_000_000) yield overflow;
}

export class Linker {
  readonly #chunks: string;
  readonly #staging: string;
  readonly #name: string;
  readonly #self: Owner = processOwner();
  readonly #shards = new Shards();
  #next = 0;

  /** `name` distinguishes the files in the making of several linkers in one staging directory. */
  constructor(options: { chunks: string; staging: string; name: string }) {
    this.#chunks = options.chunks;
    this.#staging = options.staging;
    this.#name = options.name;
  }

  /** @throws STORE_DAMAGED when no inode with this content is left */
  link(source: LinkSource, target: string | Buffer): void {
    for (const ordinal of overflowOrdinals(source.ordinal)) {
      const path = chunkPath(this.#chunks, source.inode, ordinal);
      this.#shards.check(path);
      if (!isUntouched(path, source)) this.#make(source, path);
      try {
        return linkSync(path, target);
      } catch (error) {
        if (isErrno(error, "EMLINK")) continue;
        if (!isErrno(error, "ENOENT")) throw error;
        this.#make(source, path);
        return linkSync(path, target);
      }
    }
  }

  #make(source: LinkSource, path: string): void {
    const staged = `${this.#staging}/${this.#name}-${this.#next++}`;
    try {
      this.#copyContent(source, staged);
      const fd = openSync(staged, "r+");
      try {
        applyToFile(fd, source.attributes, source, { self: this.#self, mode: 0o600 });
      } finally {
        closeSync(fd);
      }
      makeDirectory(dirname(path));
      publish(staged, path, source);
    } finally {
      rmSync(staged, { force: true });
    }
  }

  #copyContent(source: LinkSource, staged: string): void {
    const siblings = [chunkPath(this.#chunks, source.inode, 0), chunkPath(this.#chunks, source.native(), 0)];
    for (const sibling of siblings) if (copyContent(sibling, staged, source)) return;
    const message =
      "the content of a file is missing from the store or was changed there; pull the image again with force, or run shale fsck --repair";
    throw new ShaleError("STORE_DAMAGED", message, { path: siblings[1]! });
  }
}

/** Another worker or process may make the same source; whoever comes second takes the first one's, which trees may hold already. */
function publish(staged: string, path: string, source: LinkSource): void {
  try {
    linkSync(staged, path);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    if (!isUntouched(path, source)) renameSync(staged, path);
  }
}

/** A new 0600 file with the same bytes, sharing their blocks where the file system can; false when the source is not there or has other bytes. */
function copyContent(from: string, to: string, wanted: LinkSource): boolean {
  let source: number;
  try {
    source = openSync(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ELOOP", "ENXIO")) return false;
    throw error;
  }
  try {
    const stat = fstatSync(source, { bigint: true });
    if (!stat.isFile() || (!looksRight(stat, wanted) && !hasContent(source, wanted.chunk()))) return false;
    const target = openSync(to, "wx", 0o600);
    try {
      // never by path: copyFile would bring the owner and mode of the source along
      if (!tryReflink(target, source)) copyBytes(source, target);
    } finally {
      closeSync(target);
    }
    return true;
  } finally {
    closeSync(source);
  }
}

function copyBytes(source: number, target: number): void {
  const buffer = Buffer.allocUnsafe(256 * 1024);
  const readAt = (position: number): number => readSync(source, buffer, 0, buffer.length, position);
  for (let at = 0, read = readAt(0); read > 0; read = readAt(at)) {
    for (let done = 0; done < read;) done += writeSync(target, buffer, done, read - done);
    at += read;
  }
}
