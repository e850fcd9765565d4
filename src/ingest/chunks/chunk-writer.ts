/**
 * Creates link sources: one inode in chunks/ for each content and set of attributes. A file is written in staging and gets its name in chunks/
 * when it is complete, with its final attributes. It is never visible incomplete and never written again. An intact existing source is kept.
 * With a place in a staged tree, the file is created there and linked into chunks/; otherwise under a private name and renamed.
 */
import { createHash, hash, type Hash } from "node:crypto";
import { closeSync, ftruncateSync, linkSync, lstatSync, openSync, writeSync } from "node:fs";
import type { ChunkId } from "../../../format/index.ts";
import { hashOpenFile } from "../../system/hash-open-file.ts";
import { isErrno } from "../../errors.ts";
import { applyToFile, processOwner } from "../../store/attributes.ts";
import { chunkId, type InodeId } from "../../store/ids.ts";
import { encodeAttributes, inodeId } from "../../store/inode.ts";
import { chunkPath } from "../../store/layout.ts";
import { MadeInodes } from "../../store/made-inodes.ts";
import { Shards } from "../../store/real-directory.ts";
import { ABSENT, STAGED, type StagedState } from "../../store/staged-state.ts";
import { physicalAttributes, S_IFREG, type Owner, type PhysicalAttributes, type Profile } from "../../store/profile.ts";
import { openIfExists } from "../../system/existing-file.ts";
import type { Xattr } from "../../../format/entry.ts";
import type { StoredFile } from "../layer/part.ts";
import { StagedFile } from "./staged-file.ts";
import type { StagedPath } from "./staged-paths.ts";

export interface ChunkWriterOptions {
  /** chunks/ of the store. */
  readonly chunks: string;
  /** A directory that only this writer uses, on the same file system, for incomplete files: two threads that create files in one directory block each other. */
  readonly staging: string;
  readonly profile: Profile;
  readonly owner: Owner;
  /** Of this process. */
  readonly umask: number;
  /** When this boot began to write to the store, ms since 1970. Older files are read before they are trusted. */
  readonly trustedSince: number;
  /** Shared by all writers of one handle. */
  readonly made: SharedArrayBuffer;
}

/** The attributes of a file in the image. `mode` contains permission bits. */
export interface FileAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly mtimeNs: number;
  readonly xattrs: readonly Xattr[];
}

interface Physical {
  readonly attributes: PhysicalAttributes;
  readonly encoded: Buffer;
  /** The final mode if a file can be created with it, otherwise 0600: setuid and a foreign owner are set later. */
  readonly createMode: number;
}

/** After this many missing files, the next small file is written without a check: the rename shows whether it exists. */
const NEW_IN_A_ROW = 200;
/** Maximum bytes of a file that is written without a check. */
const SMALL = 64 * 1024;

/** Longer attributes are not cached, since an untrusted image could fill the cache. */
const LONGEST_KEY = 1024;

export class ChunkWriter {
  readonly #options: ChunkWriterOptions;
  readonly #physical = new Map<string, Physical>();
  readonly #made: MadeInodes;
  readonly #shards = new Shards();
  readonly #self: Owner = processOwner();
  #next = 0;
  #newInARow = 0;
  /** Read the content of existing chunks instead of trusting their attributes. */
  verifyContent = false;
  newChunks = 0;
  newBytes = 0;

  constructor(options: ChunkWriterOptions) {
    this.#options = options;
    this.#made = new MadeInodes(options.made);
  }

  /** Stores a file whose content is in memory. `place`: in a staged tree. */
  put(content: Buffer, file: FileAttributes, place?: StagedPath): StoredFile {
    const chunk = chunkId(hash("sha256", content, "buffer"));
    const physical = this.#physicalOf(file);
    const inode = inodeId(chunk, { seconds: file.mtime, nanoseconds: file.mtimeNs }, physical.encoded);
    const whole: Whole = { chunk, inode, size: content.length, file, physical };
    const again = place?.used.has(inode) === true;
    const made = this.#made.has(inode);
    if (made && !again) return { chunk, inode, state: this.#link(inode, place) };
    // the ordinal of this file is known at the end of the layer; the source may also exist in the store already
    if (!made && this.#isThere(whole)) return { chunk, inode, state: again ? ABSENT : this.#link(inode, place) };
    const staged = this.#create(physical.createMode, place);
    try {
      if (made && !staged.placed) return { chunk, inode, state: ABSENT };
      writeAll(staged.fd, content, 0);
      applyToFile(staged.fd, physical.attributes, file, { self: this.#self, mode: physical.createMode });
      return { chunk, inode, state: made ? staged.stay() : this.#publish(staged, whole, place) };
    } finally {
      staged.discard();
    }
  }

  /** Stores a file piece by piece; `place` as for `put`. */
  stream(file: FileAttributes, place?: StagedPath): ChunkStream {
    const staged = this.#create(0o600, place);
    return new ChunkStream(staged.fd, {
      finish: (chunk, size) => {
        const physical = this.#physicalOf(file);
        const inode = inodeId(chunk, { seconds: file.mtime, nanoseconds: file.mtimeNs }, physical.encoded);
        applyToFile(staged.fd, physical.attributes, file, { self: this.#self, mode: 0o600 });
        return { chunk, inode, state: this.#publish(staged, { chunk, inode, size, file, physical }, place) };
      },
      discard: () => staged.discard(),
    });
  }

  /** Between two runs. */
  reset(): void {
    this.#newInARow = 0;
    this.verifyContent = false;
    this.newChunks = this.newBytes = 0;
  }

  #physicalOf(file: FileAttributes): Physical {
    const key = `${file.mode},${file.uid},${file.gid},${file.xattrs.map(({ name, value }) => `${name.length},${value.length},${name}${value}`).join()}`;
    const known = this.#physical.get(key);
    if (known) return known;
    const logical = { ...file, mode: S_IFREG | file.mode, rdevMajor: 0, rdevMinor: 0 };
    const attributes = physicalAttributes(this.#options.profile, logical, this.#options.owner);
    const plain = attributes.xattrs.length === 0 && attributes.uid === this.#self.uid && attributes.gid === this.#self.gid;
    const mode = attributes.mode & 0o7777;
    const createMode = plain && (mode & (0o7000 | this.#options.umask)) === 0 ? mode : 0o600;
    const physical = { attributes, encoded: encodeAttributes(attributes), createMode };
    if (key.length > LONGEST_KEY) return physical;
    if (this.#physical.size >= 10_000) this.#physical.clear();
    this.#physical.set(key, physical);
    return physical;
  }

  /** Also false if a check would cost more than it is likely to save. */
  #isThere(wanted: Whole): boolean {
    return (wanted.size > SMALL || this.#newInARow < NEW_IN_A_ROW) && this.#look(wanted) === "good";
  }

  /** One lstat recognizes an intact chunk. Anything else is written again and replaced by rename. */
  #look(wanted: Whole): "good" | "absent" | "wrong" {
    const path = chunkPath(this.#options.chunks, wanted.inode);
    const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    this.#newInARow = stat ? 0 : this.#newInARow + 1;
    if (!stat) return "absent";
    const { attributes } = wanted.physical;
    const mtime = BigInt(wanted.file.mtime) * 1_000_000_000n + BigInt(wanted.file.mtimeNs);
    const same =
      Number(stat.size) === wanted.size &&
      Number(stat.mode) === attributes.mode &&
      Number(stat.uid) === attributes.uid &&
      Number(stat.gid) === attributes.gid &&
      stat.mtimeNs === mtime;
    const isOld = Number(stat.birthtimeMs) < this.#options.trustedSince;
    return !same || ((this.verifyContent || isOld) && hashChunk(path)?.equals(wanted.chunk) !== true) ? "wrong" : "good";
  }

  /** `mode` is the initial mode, to which the umask applies. An existing file at the place is left alone. */
  #create(mode: number, place: StagedPath | undefined): StagedFile {
    const fd = place && openIfFree(place.path, mode);
    if (fd !== undefined) return new StagedFile(fd, place!.path, { placed: true });
    const path = `${this.#options.staging}/${this.#next++}`;
    return new StagedFile(openSync(path, "wx", mode), path, { placed: false });
  }

  /** Keeps an intact existing source, since trees may link it already. Replaces a damaged one. */
  #publish(staged: StagedFile, whole: Whole, place: StagedPath | undefined): StagedState {
    const { inode, size } = whole;
    const path = chunkPath(this.#options.chunks, inode);
    staged.close();
    this.#shards.check(path);
    const isGood = (): boolean => this.#look(whole) === "good";
    if (!staged.appear(path) && (isGood() || !staged.replace(path, `${this.#options.staging}/${this.#next++}`, isGood))) {
      if (staged.placed && place!.used.has(inode)) return staged.stay();
      staged.discard();
      return this.#link(inode, place);
    }
    this.newChunks++;
    this.newBytes += size;
    this.#made.add(inode);
    if (!staged.placed) return ABSENT;
    place!.used.add(inode);
    return STAGED;
  }

  /** Links the existing chunk to a place, if possible. */
  #link(inode: InodeId, place: StagedPath | undefined): StagedState {
    if (!place) return ABSENT;
    const chunk = chunkPath(this.#options.chunks, inode);
    this.#shards.check(chunk);
    try {
      linkSync(chunk, place.path);
    } catch (error) {
      // removed meanwhile, or at its maximum number of links: the tree writer creates it again
      if (isErrno(error, "EEXIST", "ENOTDIR", "ENOENT", "EMLINK", "ENAMETOOLONG")) return ABSENT;
      throw error;
    }
    place.used.add(inode);
    return STAGED;
  }
}

/** A file with its complete content. */
interface Whole {
  readonly chunk: ChunkId;
  readonly inode: InodeId;
  /** Bytes. */
  readonly size: number;
  readonly file: FileAttributes;
  readonly physical: Physical;
}

const ZEROS: Buffer = Buffer.alloc(64 * 1024);

/** A file that is stored piece by piece, front to back. End it with `finish` (even if that fails) or `discard`. */
export class ChunkStream {
  readonly #fd: number;
  readonly #hash: Hash = createHash("sha256");
  readonly #end: { finish(chunk: ChunkId, size: number): StoredFile; discard(): void };
  #size = 0;

  constructor(fd: number, end: { finish(chunk: ChunkId, size: number): StoredFile; discard(): void }) {
    this.#fd = fd;
    this.#end = end;
  }

  write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    writeAll(this.#fd, bytes, this.#size);
    this.#size += bytes.length;
  }

  /** Appends a hole. */
  hole(length: number): void {
    for (let left = length; left > 0; left -= ZEROS.length) this.#hash.update(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
    this.#size += length;
  }

  finish(): StoredFile {
    try {
      ftruncateSync(this.#fd, this.#size);
      return this.#end.finish(chunkId(this.#hash.digest()), this.#size);
    } finally {
      this.#end.discard();
    }
  }

  discard(): void {
    this.#end.discard();
  }
}

/** Undefined if the name exists or is not possible. */
function openIfFree(path: string | Buffer, mode: number): number | undefined {
  try {
    return openSync(path, "wx", mode);
  } catch (error) {
    if (isErrno(error, "EEXIST", "ENOTDIR", "ENOENT", "EISDIR", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

/** Undefined if the file was removed meanwhile. */
function hashChunk(path: string): Buffer | undefined {
  const fd = openIfExists(path);
  if (fd === undefined) return undefined;
  try {
    return hashOpenFile(fd, Buffer.allocUnsafe(1024 * 1024));
  } finally {
    closeSync(fd);
  }
}
