/**
 * Links the names of a tree to their link sources. A missing source is created from a sibling with the same content, by reflink or copy: an
 * ordinal or profile that was not needed before, or a file that gc removed. A source that was changed, or damaged by a machine crash, is
 * replaced in the same way.
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
import type { LinkSourceTrust } from "./link-source-trust.ts";

export interface LinkerOptions {
  readonly chunks: string;
  readonly staging: string;
  /** Makes the temporary files of this linker unique in the staging directory. */
  readonly name: string;
  readonly trust: LinkSourceTrust;
  /** Inodes that the ingest has just created and no tree has linked, so no write through a tree can have changed them. */
  readonly made?: MadeInodes | undefined;
  /** Only this user can write where the names are created, so a missing source is created there. Elsewhere it could be swapped before it is linked. */
  readonly ownTargets?: boolean;
}

/**
 * The ordinal, then those that replace it after EMLINK. They are far above the ordinals of any image, and belong to one ordinal only, so two
 * files of an image still share no inode.
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
  readonly #trust: LinkSourceTrust;
  readonly #made: MadeInodes | undefined;
  readonly #ownTargets: boolean;
  readonly #shards = new Shards();
  readonly #buffer: Buffer = Buffer.allocUnsafe(256 * 1024);
  /** False once a reflink was refused. */
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

  /** `target` must not exist. @throws STORE_DAMAGED if no inode with this content is left */
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

  /** Publishes `file` as the link source. If a source exists already, replaces `file` by a link to that. */
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

  /** Creates the source under a private name, then links it into chunks/, where it is never visible incomplete. */
  #makeAt(place: string | Buffer, path: string, source: LinkSource): void {
    try {
      this.#copy(source, place);
      if (linkIfAbsent(place, path)) return;
      if (!this.#isGood(path, source) && this.#replace(path, place, source)) return;
      // another worker or process published the same source, which trees may use already
      unlinkSync(place);
      linkSync(path, place);
    } catch (error) {
      rmSync(place, { force: true });
      throw error;
    }
  }

  /** False if the source has been repaired meanwhile. */
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

  /** Creates a file with the content of a sibling and the wanted attributes. */
  #copy(source: LinkSource, path: string | Buffer): void {
    const { attributes } = source;
    // with its final mode, unless that would forbid the steps that follow
    const mode = attributes.xattrs.length === 0 ? attributes.mode & 0o777 & ~this.#umask : 0o600;
    const content = this.#openContent(source);
    try {
      const target = openSync(path, "wx", mode);
      try {
        // not by path: copyFile would copy owner and mode of the source
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

  /** `size`: of the content when it was opened. */
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

  /** Undefined if the file is missing or has other bytes. */
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
