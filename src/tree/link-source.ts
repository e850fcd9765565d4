/**
 * Gives a name in a tree the inode that stands for its file. The source is linked as it is; one that is missing (another ordinal
 * or profile that nobody needed so far, or a file that gc took) is made from a sibling with the same content, by reflink or copy.
 */
import { closeSync, linkSync, mkdirSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { isErrno, ShaleError } from "../errors.ts";
import { applyToFile, processOwner } from "../store/attributes.ts";
import { chunkPath } from "../store/layout.ts";
import type { Owner, PhysicalAttributes } from "../store/profile.ts";
import { tryReflink } from "../system/syscalls.ts";

export interface LinkSource {
  /** 20 bytes. */
  readonly inode: Uint8Array;
  readonly ordinal: number;
  readonly attributes: PhysicalAttributes;
  readonly mtime: number;
  readonly mtimeNs: number;
  /** The layer's native inode of the same content, made only when it is needed. */
  readonly native: () => Uint8Array;
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
      mkdirSync(dirname(path), { mode: 0o700, recursive: true });
      publish(staged, path);
    } finally {
      rmSync(staged, { force: true });
    }
  }

  #copyContent(source: LinkSource, staged: string): void {
    const siblings = [chunkPath(this.#chunks, source.inode, 0), chunkPath(this.#chunks, source.native(), 0)];
    for (const sibling of siblings) if (copyContent(sibling, staged)) return;
    const message = "the content of a file is missing from the store; pull the image again with force, or run shale fsck --repair";
    throw new ShaleError("STORE_DAMAGED", message, { path: siblings[1]! });
  }
}

/** Another worker or process may make the same source; whoever comes second takes the first one's, which trees may hold already. */
function publish(staged: string, path: string): void {
  try {
    linkSync(staged, path);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

/** A new 0600 file with the same bytes, sharing their blocks where the file system can; false when the source is not there. */
function copyContent(from: string, to: string): boolean {
  let source: number;
  try {
    source = openSync(from, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
  try {
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
  for (let read = readSync(source, buffer); read > 0; read = readSync(source, buffer)) {
    for (let done = 0; done < read;) done += writeSync(target, buffer, done, read - done);
  }
}
