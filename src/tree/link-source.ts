/**
 * Gives a name in a tree the inode that stands for its file. The source is linked as it is; one that is missing (another ordinal
 * or profile that nobody needed so far, or a file that gc took) is made from a sibling with the same content, by reflink or copy;
 * so is one that somebody has changed, or that a crash of the machine has spoilt, and it is replaced.
 */
import { closeSync, fstatSync, linkSync, openSync, readSync, renameSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { isErrno, ShaleError } from "../errors.ts";
import { applyToFile, processOwner } from "../store/attributes.ts";
import { chunkPath } from "../store/layout.ts";
import type { MadeInodes } from "../store/made-inodes.ts";
import { Shards } from "../store/planted.ts";
import type { Owner, PhysicalAttributes } from "../store/profile.ts";
import { openIfThere } from "../system/open-if-there.ts";
import { linkIfAbsent } from "../system/link-if-absent.ts";
import { renameIfAbsent } from "../system/rename-if-absent.ts";
import { tryReflink } from "../system/syscalls.ts";
import { hasContent, looksRight, statUntouched } from "./link-check.ts";
import type { SourceTrust } from "./source-trust.ts";

export interface LinkSource {
  /** 20 bytes. */
  readonly inode: Uint8Array;
  readonly ordinal: number;
  /** Bytes. */
  readonly size: number;
  readonly attributes: PhysicalAttributes;
  readonly mtime: number;
  readonly mtimeNs: number;
  /** The layer vouches for the content of its native inode if that was born before: ms since 1970. */
  readonly vouchedBefore: number;
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
  readonly #trust: SourceTrust;
  readonly #made: MadeInodes | undefined;
  readonly #shards = new Shards();
  readonly #buffer: Buffer = Buffer.allocUnsafe(256 * 1024);
  /** False once the file system was seen not to share blocks. */
  #reflinks = true;
  #next = 0;

  /**
   * `name` distinguishes the files in the making of several linkers in one staging directory. `made`: inodes that no tree has had yet, for
   * their ingest has just made them; nobody can have changed those.
   */
  constructor(options: { chunks: string; staging: string; name: string; trust: SourceTrust; made?: MadeInodes | undefined }) {
    this.#chunks = options.chunks;
    this.#staging = options.staging;
    this.#name = options.name;
    this.#trust = options.trust;
    this.#made = options.made;
  }

  /** @throws STORE_DAMAGED when no inode with this content is left */
  link(source: LinkSource, target: string | Buffer): void {
    for (const ordinal of overflowOrdinals(source.ordinal)) {
      const path = chunkPath(this.#chunks, source.inode, ordinal);
      if (ordinal !== 0 || this.#made?.has(source.inode) !== true) this.#ensure(path, source);
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

  /** The other way round: the file, like its source in all, is the source, unless that is there already; then it gives way to it. */
  name(source: LinkSource, file: string | Buffer): void {
    const path = chunkPath(this.#chunks, source.inode, source.ordinal);
    this.#shards.check(path);
    if (linkIfAbsent(file, path)) return;
    unlinkSync(file);
    this.link(source, file);
  }

  #ensure(path: string, source: LinkSource): void {
    this.#shards.check(path);
    if (!this.#isGood(path, source)) this.#make(source, path);
  }

  #isGood(path: string, source: LinkSource): boolean {
    const stat = statUntouched(path, source);
    return stat !== undefined && this.#trust.isWhole(path, stat, source);
  }

  #make(source: LinkSource, path: string): void {
    const staged = `${this.#staging}/${this.#name}-${this.#next++}`;
    try {
      this.#copy(source, staged);
      this.#publish(staged, path, source);
    } catch (error) {
      rmSync(staged, { force: true });
      throw error;
    }
  }

  /** Another worker or process may make the same source; whoever comes second takes the first one's, which trees may hold already. */
  #publish(staged: string, path: string, source: LinkSource): void {
    if (renameIfAbsent(staged, path)) return;
    if (this.#isGood(path, source)) unlinkSync(staged);
    else renameSync(staged, path);
  }

  /** A new file with the content of a sibling and the attributes wanted. */
  #copy(source: LinkSource, staged: string): void {
    const content = this.#openContent(source);
    try {
      const target = openSync(staged, "wx", 0o600);
      try {
        // never by path: copyFile would bring the owner and mode of the source along
        this.#reflinks &&= tryReflink(target, content);
        if (!this.#reflinks) copyBytes(content, target, this.#buffer);
        applyToFile(target, source.attributes, source, { self: this.#self, mode: 0o600 });
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(content);
    }
  }

  #openContent(source: LinkSource): number {
    const same = chunkPath(this.#chunks, source.inode, 0);
    const native = chunkPath(this.#chunks, source.native(), 0);
    const fd = this.#openWhole(same, source) ?? (native === same ? undefined : this.#openWhole(native, source));
    if (fd !== undefined) return fd;
    const message =
      "the content of a file is missing from the store or was changed there; pull the image again with `force`, or run shale fsck --repair";
    throw new ShaleError("STORE_DAMAGED", message, { path: native });
  }

  /** Undefined when it is not there or has other bytes. */
  #openWhole(path: string, wanted: LinkSource): number | undefined {
    const fd = openIfThere(path);
    if (fd === undefined) return undefined;
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (stat.isFile() && looksRight(stat, wanted) && this.#trust.isTrusted(path, stat, wanted)) return fd;
      if (stat.isFile() && hasContent(fd, wanted.chunk())) {
        this.#trust.remember(path);
        return fd;
      }
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return undefined;
  }
}

function copyBytes(source: number, target: number, buffer: Buffer): void {
  const readAt = (position: number): number => readSync(source, buffer, 0, buffer.length, position);
  for (let at = 0, read = readAt(0); read > 0; read = readAt(at)) {
    for (let done = 0; done < read;) done += writeSync(target, buffer, done, read - done);
    at += read;
  }
}
