/**
 * Gives a name in a tree the inode that stands for its file. The source is linked as it is; one that is missing (another ordinal
 * or profile that nobody needed so far, or a file that gc took) is made from a sibling with the same content, by reflink or copy;
 * so is one that somebody has changed, or that a crash of the machine has spoilt, and it is replaced.
 */
import { closeSync, fstatSync, linkSync, openSync, readSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { isErrno, ShaleError } from "../errors.ts";
import { applyToFile, processOwner, processUmask } from "../store/attributes.ts";
import { chunkPath } from "../store/layout.ts";
import type { MadeInodes } from "../store/made-inodes.ts";
import { Shards } from "../store/real-directory.ts";
import type { Owner } from "../store/profile.ts";
import { replaceChunk } from "../store/replace-chunk.ts";
import { linkIfAbsent } from "../system/link-if-absent.ts";
import { openIfExists } from "../system/existing-file.ts";
import { tryReflink } from "../system/syscalls.ts";
import { hasContent, looksRight, statUntouched, type LinkSource } from "./link-source.ts";
import type { SourceTrust } from "./source-trust.ts";

export interface LinkerOptions {
  readonly chunks: string;
  readonly staging: string;
  /** Distinguishes the files in the making of several linkers in one staging directory. */
  readonly name: string;
  readonly trust: SourceTrust;
  /** Inodes that no tree has had yet, for their ingest has just made them; nobody can have changed those. */
  readonly made?: MadeInodes | undefined;
  /** Nobody else can write where the names are given: a missing source is made there. Anywhere else it could be swapped before it is linked. */
  readonly ownTargets?: boolean;
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
  readonly #umask: number = processUmask();
  readonly #trust: SourceTrust;
  readonly #made: MadeInodes | undefined;
  readonly #ownTargets: boolean;
  readonly #shards = new Shards();
  readonly #buffer: Buffer = Buffer.allocUnsafe(256 * 1024);
  /** False once the file system was seen not to share blocks. */
  #reflinks = true;
  #next = 0;

  constructor({ chunks, staging, name, trust, made, ownTargets = false }: LinkerOptions) {
    this.#chunks = chunks;
    this.#staging = staging;
    this.#name = name;
    this.#trust = trust;
    this.#made = made;
    this.#ownTargets = ownTargets;
  }

  /** `target` is a name that nothing has. @throws STORE_DAMAGED when no inode with this content is left */
  link(source: LinkSource, target: string | Buffer): void {
    for (const ordinal of overflowOrdinals(source.ordinal)) {
      const path = chunkPath(this.#chunks, source.inode, ordinal);
      const isMade = ordinal === 0 && this.#made?.has(source.inode) === true;
      try {
        if (isMade || this.#isUntouched(path, source)) return linkSync(path, target);
      } catch (error) {
        if (isErrno(error, "EMLINK")) continue;
        if (!isErrno(error, "ENOENT")) throw error;
      }
      return this.#make(source, path, target);
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

  #isUntouched(path: string, source: LinkSource): boolean {
    this.#shards.check(path);
    return this.#isGood(path, source);
  }

  #isGood(path: string, source: LinkSource): boolean {
    const stat = statUntouched(path, source);
    return stat !== undefined && this.#trust.isWhole(path, stat, source);
  }

  #make(source: LinkSource, path: string, target: string | Buffer): void {
    if (this.#ownTargets) return this.#makeAt(target, path, source);
    const staged = this.#fresh();
    try {
      this.#makeAt(staged, path, source);
      linkSync(staged, target);
    } finally {
      rmSync(staged, { force: true });
    }
  }

  /** Made under a name that nobody else can write to, and then linked into chunks/: nobody sees it there before it is whole. */
  #makeAt(place: string | Buffer, path: string, source: LinkSource): void {
    try {
      this.#copy(source, place);
      if (linkIfAbsent(place, path)) return;
      if (!this.#isGood(path, source) && this.#replace(path, place, source)) return;
      // another worker or process has made the same, which trees may hold already
      unlinkSync(place);
      linkSync(path, place);
    } catch (error) {
      rmSync(place, { force: true });
      throw error;
    }
  }

  /** False when the source is good by now. */
  #replace(path: string, place: string | Buffer, source: LinkSource): boolean {
    const staged = this.#fresh();
    linkSync(place, staged);
    const replaced = replaceChunk(path, staged, () => this.#isGood(path, source));
    if (!replaced) unlinkSync(staged);
    return replaced;
  }

  #fresh(): string {
    return `${this.#staging}/${this.#name}-${this.#next++}`;
  }

  /** A new file with the content of a sibling and the attributes wanted. */
  #copy(source: LinkSource, path: string | Buffer): void {
    const { attributes } = source;
    // with its mode from the start, unless that could forbid what comes before
    const mode = attributes.xattrs.length === 0 ? attributes.mode & 0o777 & ~this.#umask : 0o600;
    const content = this.#openContent(source);
    try {
      const target = openSync(path, "wx", mode);
      try {
        // never by path: copyFile would bring the owner and mode of the source along
        this.#reflinks &&= tryReflink(target, content);
        if (!this.#reflinks) this.#copyBytes(content, target, source);
        applyToFile(target, attributes, source, { self: this.#self, mode });
      } finally {
        closeSync(target);
      }
    } finally {
      closeSync(content);
    }
  }

  /** The content was of this size when it was opened. */
  #copyBytes(content: number, target: number, source: LinkSource): void {
    const buffer = this.#buffer;
    for (let at = 0; at < source.size;) {
      const read = readSync(content, buffer, 0, buffer.length, at);
      if (read === 0) throw damaged(chunkPath(this.#chunks, source.inode));
      for (let done = 0; done < read;) done += writeSync(target, buffer, done, read - done);
      at += read;
    }
  }

  #openContent(source: LinkSource): number {
    const same = chunkPath(this.#chunks, source.inode);
    const fd = this.#openWhole(same, source);
    if (fd !== undefined) return fd;
    const native = chunkPath(this.#chunks, source.native());
    const other = native === same ? undefined : this.#openWhole(native, source);
    if (other !== undefined) return other;
    throw damaged(native);
  }

  /** Undefined when it is not there or has other bytes. */
  #openWhole(path: string, wanted: LinkSource): number | undefined {
    const fd = openIfExists(path);
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

function damaged(path: string): ShaleError<"STORE_DAMAGED"> {
  const message =
    "the content of a file is missing from the store or was changed there; pull the image again with `force`, or run shale fsck --repair";
  return new ShaleError("STORE_DAMAGED", message, { path });
}
