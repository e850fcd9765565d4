/**
 * Places for a layer's files in a tree that is staged during the ingest: a file is created there and linked into chunks/, which is cheaper than
 * linking later. The finished layer decides which files the tree has; differences are corrected, or the tree is created anew. The tree contains
 * only directories and regular files, no symlink of the image, so no path is resolved through one.
 */
import { fsPath, toByteString, type ByteString } from "../../bytes.ts";
import { isErrno, ShaleError } from "../../errors.ts";
import type { MadeInodes } from "../../store/made-inodes.ts";
import { makeDirectory } from "../../system/make-directory.ts";
import { MAX_PATH, normalizePath } from "../../tar/entry-path.ts";
import type { TarEntry } from "../../tar/entry.ts";

/** Maximum number of cached directories. */
const MOST_KNOWN = 50_000;
/**
 * Implied directories cost an archive nothing but cost the disk: one path may have hundreds. So each entry may add two, plus a fixed number for
 * the layer. Beyond that nothing is staged, and the limits of the finished layer decide.
 */
const FREE_DIRECTORIES = 1000;
const DIRECTORIES_PER_ENTRY = 2;
const MOST_MISSING = 64;

export interface StagedPath {
  /** Path of the file. Its directory exists unless a file has that name; the path itself may exist. */
  readonly path: string | Buffer;
  /** Inodes that the image's trees use: equal files of one image must not share an inode. */
  readonly used: MadeInodes;
}

export class StagedPaths {
  readonly #root: ByteString;
  readonly #used: MadeInodes;
  /** Existing directories, with their paths. */
  readonly #known: Set<string>;
  /** Number of implied directories that may still be created. */
  #left = FREE_DIRECTORIES;

  /** `root`: the existing directory of the tree. `used`: inodes of all trees of the image. */
  constructor(root: string, used: MadeInodes) {
    this.#root = toByteString(root);
    this.#used = used;
    this.#known = new Set([this.#root]);
  }

  /** The place of a file; undefined if it has none. */
  file(entry: TarEntry): StagedPath | undefined {
    const path = this.#pathOf(entry);
    if (path === undefined || !this.#make(path.slice(0, path.lastIndexOf("/")) as ByteString)) return undefined;
    return { path: fsPath(path), used: this.#used };
  }

  /** Creates a directory with mode 0700 at first; false if it has no place. */
  directory(entry: TarEntry): boolean {
    const path = this.#pathOf(entry);
    return path !== undefined && this.#make(path);
  }

  /** Special and invalid names are left to the code that reads the whole layer. */
  #pathOf({ path }: TarEntry): ByteString | undefined {
    this.#left += DIRECTORIES_PER_ENTRY;
    if (path.includes(".wh.")) return undefined;
    try {
      const normal = normalizePath(path, 0);
      const whole = `${this.#root}/${normal}` as ByteString;
      return normal === "" || whole.length > MAX_PATH ? undefined : whole;
    } catch (error) {
      if (ShaleError.is(error, "TAR_INVALID") || ShaleError.is(error, "LIMIT_PATH_DEPTH")) return undefined;
      throw error;
    }
  }

  #make(directory: ByteString): boolean {
    if (this.#known.has(directory)) return true;
    const missing = this.#missing(directory);
    if (missing > this.#left) return false;
    this.#left -= missing;
    try {
      makeDirectory(fsPath(directory));
    } catch (error) {
      // a parent is a file
      if (isErrno(error, "ENOTDIR")) return false;
      throw error;
    }
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.add(this.#root).add(directory);
    return true;
  }

  /** Number of missing directories below the nearest known one; Infinity beyond the limit of any path. */
  #missing(directory: string): number {
    let missing = 0;
    for (let path = directory; !this.#known.has(path); path = path.slice(0, path.lastIndexOf("/")))
      if (++missing > MOST_MISSING) return Number.POSITIVE_INFINITY;
    return missing;
  }
}
