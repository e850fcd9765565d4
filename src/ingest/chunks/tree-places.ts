/**
 * Places for a layer's files in a tree that is staged while the layer is ingested: a file is made there and linked into chunks/, which
 * costs less than the other way round. Only the finished layer tells what is where: what it does not confirm is put right, or the tree
 * made anew. Holds directories and regular files alone, no symlink of the image, so no path is walked through one.
 */
import { fsPath, toByteString, type ByteString } from "../../bytes.ts";
import { isErrno, ShaleError } from "../../errors.ts";
import type { MadeInodes } from "../../store/made-inodes.ts";
import { makeDirectory } from "../../system/make-directory.ts";
import { MAX_PATH, normalizePath } from "../../tar/entry-path.ts";
import type { TarEntry } from "../../tar/entry.ts";

/** Directories remembered; beyond it they are asked for again. */
const MOST_KNOWN = 50_000;
/**
 * Directories that no entry names are free for who writes the archive, and cost the disk: a path has hundreds. So each entry
 * may bring two, and some more are there for all; the limits of the finished layer judge the rest.
 */
const FREE_DIRECTORIES = 1000;
const DIRECTORIES_PER_ENTRY = 2;
const MOST_MISSING = 64;

export interface Place {
  /** In a directory that is there, unless a file has its name; something may stand there already. */
  readonly path: string | Buffer;
  /** Inodes that the image's trees have: equal files of an image share none. */
  readonly used: MadeInodes;
}

export class TreePlaces {
  readonly #root: ByteString;
  readonly #used: MadeInodes;
  /** Directories that are there, with their places. */
  readonly #known: Set<string>;
  /** That may still be made. */
  #left = FREE_DIRECTORIES;

  /** `root`: the tree's directory, which is there; `used`: of all trees of the image. */
  constructor(root: string, used: MadeInodes) {
    this.#root = toByteString(root);
    this.#used = used;
    this.#known = new Set([this.#root]);
  }

  /** Of a file; undefined when it has none. */
  file(entry: TarEntry): Place | undefined {
    const path = this.#pathOf(entry);
    if (path === undefined || !this.#make(path.slice(0, path.lastIndexOf("/")) as ByteString)) return undefined;
    return { path: fsPath(path), used: this.#used };
  }

  /** Makes a directory's place, mode 0700 for now; false when it has none. */
  directory(entry: TarEntry): boolean {
    const path = this.#pathOf(entry);
    return path !== undefined && this.#make(path);
  }

  /** Names that mean something else, or are none at all, are for whoever reads the whole layer. */
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
      // a file stands on the way
      if (isErrno(error, "ENOTDIR")) return false;
      throw error;
    }
    if (this.#known.size >= MOST_KNOWN) this.#known.clear();
    this.#known.add(this.#root).add(directory);
    return true;
  }

  /** Directories from the nearest that is known; infinitely many when they are more than any archive has. */
  #missing(directory: string): number {
    let missing = 0;
    for (let path = directory; !this.#known.has(path); path = path.slice(0, path.lastIndexOf("/")))
      if (++missing > MOST_MISSING) return Number.POSITIVE_INFINITY;
    return missing;
  }
}
