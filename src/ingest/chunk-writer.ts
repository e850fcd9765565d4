/**
 * Makes link sources: for a file's content and attributes, the one inode in chunks/ that stands for them. A chunk is written in
 * staging under a name of its own and renamed into place when it is whole, with its final attributes; it is never seen half
 * written and never written again. A good one that is there already is kept.
 */
import { createHash, hash, type Hash } from "node:crypto";
import { closeSync, ftruncateSync, lstatSync, openSync, readSync, renameSync, unlinkSync, writeSync } from "node:fs";
import { isErrno } from "../errors.ts";
import { applyToFile, processOwner } from "../store/attributes.ts";
import { encodeAttributes, inodeId } from "../store/inode.ts";
import { chunkPath } from "../store/layout.ts";
import { MadeInodes } from "../store/made-inodes.ts";
import { Shards } from "../store/planted.ts";
import { physicalAttributes, S_IFREG, type Owner, type PhysicalAttributes, type Profile } from "../store/profile.ts";
import { renameIfAbsent } from "../system/rename-if-absent.ts";
import type { Xattr } from "../tar/entry.ts";
import type { StoredFile } from "./part.ts";

export interface ChunkWriterOptions {
  /** chunks/ of the store. */
  readonly chunks: string;
  /** A directory of this writer alone, on the same file system, for files in the making: two threads creating in one directory wait for each other. */
  readonly staging: string;
  readonly profile: Profile;
  readonly owner: Owner;
  /** Of this process. */
  readonly umask: number;
  /** When this boot of the machine began to write here, ms since 1970: older files are read before they are trusted. */
  readonly trustedSince: number;
  /** Of all writers of one handle. */
  readonly made: SharedArrayBuffer;
}

/** What the image says of a file. `mode` is permission bits. */
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
  /** The final mode where a file can be created with it, else 0600: setuid and a foreign owner come later. */
  readonly createMode: number;
}

/** After so many files that were not there, the next small one is written without a look: the rename tells as well. */
const NEW_IN_A_ROW = 200;
/** Bytes that are written in vain when that is wrong. */
const SMALL = 64 * 1024;

/** Attributes longer than this are worked out each time: remembering them would be for a stranger to fill. */
const LONGEST_KEY = 1024;

export class ChunkWriter {
  readonly #options: ChunkWriterOptions;
  readonly #physical = new Map<string, Physical>();
  readonly #made: MadeInodes;
  readonly #shards = new Shards();
  readonly #self: Owner = processOwner();
  #next = 0;
  #newInARow = 0;
  /** Re-read the content of chunks that are there already instead of trusting their attributes. */
  verifyContent = false;
  newChunks = 0;
  newBytes = 0;

  constructor(options: ChunkWriterOptions) {
    this.#options = options;
    this.#made = new MadeInodes(options.made);
  }

  /** Stores a file whose content is at hand. */
  put(content: Buffer, file: FileAttributes): StoredFile {
    const chunk = hash("sha256", content, "buffer");
    const physical = this.#physicalOf(file);
    const inode = inodeId(chunk, { seconds: file.mtime, nanoseconds: file.mtimeNs }, physical.encoded);
    const whole: Whole = { chunk, inode, size: content.length, file, physical };
    if (this.#made.has(inode) || this.#isThere(whole)) return { chunk, inode };
    const staged = this.#create(physical.createMode);
    try {
      writeAll(staged.fd, content, 0);
      this.#publish(staged, whole, physical.createMode);
    } finally {
      staged.discard();
    }
    return { chunk, inode };
  }

  /** Stores a file piece by piece. */
  stream(file: FileAttributes): ChunkStream {
    const staged = this.#create(0o600);
    return new ChunkStream(staged.fd, {
      finish: (chunk, size) => {
        const physical = this.#physicalOf(file);
        const inode = inodeId(chunk, { seconds: file.mtime, nanoseconds: file.mtimeNs }, physical.encoded);
        this.#publish(staged, { chunk, inode, size, file, physical }, 0o600);
        return { chunk, inode };
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

  /** False also where a look costs more than it is likely to save. */
  #isThere(wanted: Whole): boolean {
    return (wanted.size > SMALL || this.#newInARow < NEW_IN_A_ROW) && this.#look(wanted) === "good";
  }

  /** One lstat tells a chunk that is whole and untouched; anything else is made again and replaced by rename. */
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
    return !same || ((this.verifyContent || isOld) && hashFile(path)?.equals(wanted.chunk) !== true) ? "wrong" : "good";
  }

  /** `mode` is what the file begins with; the umask may cut it. */
  #create(mode: number): Staged {
    const path = `${this.#options.staging}/${this.#next++}`;
    const fd = openSync(path, "wx", mode);
    let open = true;
    let renamed = false;
    return {
      path,
      fd,
      close: () => {
        if (open) closeSync(fd);
        open = false;
      },
      moved: () => (renamed = true),
      discard: () => {
        if (open) closeSync(fd);
        open = false;
        if (!renamed) unlinkSync(path);
        renamed = true;
      },
    };
  }

  /** A good one that is there stays: trees may link it already. What is wrong is replaced. `mode` is what the file was created with. */
  #publish(staged: Staged, whole: Whole, mode: number): void {
    const { inode, file, physical, size } = whole;
    const path = chunkPath(this.#options.chunks, inode);
    applyToFile(staged.fd, physical.attributes, file, { self: this.#self, mode });
    staged.close();
    this.#shards.check(path);
    if (!renameIfAbsent(staged.path, path)) {
      if (this.#look(whole) === "good") return;
      renameSync(staged.path, path);
    }
    staged.moved();
    this.newChunks++;
    this.newBytes += size;
    this.#made.add(inode);
  }
}

/** A file that has all its content. */
interface Whole {
  readonly chunk: Uint8Array;
  readonly inode: Uint8Array;
  /** Bytes. */
  readonly size: number;
  readonly file: FileAttributes;
  readonly physical: Physical;
}

interface Staged {
  readonly path: string;
  readonly fd: number;
  close(): void;
  moved(): void;
  /** Idempotent; removes the file unless it has moved. */
  discard(): void;
}

const ZEROS: Buffer = Buffer.alloc(64 * 1024);

/** A file that is stored piece by piece, front to back. End it with `finish`, also when that fails, or `discard`. */
export class ChunkStream {
  readonly #fd: number;
  readonly #hash: Hash = createHash("sha256");
  readonly #end: { finish(chunk: Buffer, size: number): StoredFile; discard(): void };
  #size = 0;

  constructor(fd: number, end: { finish(chunk: Buffer, size: number): StoredFile; discard(): void }) {
    this.#fd = fd;
    this.#end = end;
  }

  write(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    writeAll(this.#fd, bytes, this.#size);
    this.#size += bytes.length;
  }

  /** Zeros that take no room on the disk. */
  hole(length: number): void {
    for (let left = length; left > 0; left -= ZEROS.length) this.#hash.update(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
    this.#size += length;
  }

  finish(): StoredFile {
    try {
      ftruncateSync(this.#fd, this.#size);
      return this.#end.finish(this.#hash.digest(), this.#size);
    } finally {
      this.#end.discard();
    }
  }

  discard(): void {
    this.#end.discard();
  }
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, position + done);
}

/** Undefined when it was removed meanwhile. */
function hashFile(path: string): Buffer | undefined {
  const fd = openIfThere(path);
  if (fd === undefined) return undefined;
  try {
    const digest = createHash("sha256");
    const buffer = Buffer.allocUnsafe(1024 * 1024);
    for (let read = readSync(fd, buffer); read > 0; read = readSync(fd, buffer)) digest.update(buffer.subarray(0, read));
    return digest.digest();
  } finally {
    closeSync(fd);
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
