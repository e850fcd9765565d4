/** Reads an image without its trees: attributes and names from sidecars, content from chunks. */
import { createReadStream, type ReadStream } from "node:fs";
import { buffer } from "node:stream/consumers";
import { SidecarError, type Sidecar } from "../../format/index.ts";
import { toByteString, toBytes, type ByteString } from "../bytes.ts";
import { ShaleError } from "../errors.ts";
import { LayerContent } from "../tree/layer-content.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, type Owner, type Profile } from "../store/profile.ts";
import { LayerInodes } from "../tree/layer-inodes.ts";
import { MergedView, type MergedNode } from "./merged-view.ts";
import { resolvePath, wrongKind } from "./resolve-path.ts";

export type FileKind = "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";

/** The attributes of a file in the image, independent of the profile of its trees. */
export interface FileStat {
  readonly kind: FileKind;
  /** st_mode: type and permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file's content or of a symlink's target; otherwise 0. */
  readonly size: number;
  /** Whole seconds since 1970, rounded down, and the nanoseconds after them. */
  readonly mtime: number;
  readonly mtimeNs: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Equal for two paths of one image if and only if they are hard links to one file. Not comparable between images. */
  readonly inode: number;
  /** By name. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>;
}

export interface FileName {
  /** As text; bytes that are not UTF-8 are replaced by U+FFFD. */
  readonly name: string;
  /** The bytes of the name. */
  readonly bytes: Uint8Array;
  readonly kind: FileKind;
}

/** First byte and last byte, both included, as in node:fs. */
export interface ReadRange {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
}

export interface ImageFilesOptions {
  /** Bottom to top; `close` closes them. */
  readonly sidecars: readonly Sidecar[];
  readonly chunks: string;
  readonly native: Profile;
  readonly owner: Owner;
}

type Path = string | Uint8Array;

export class ImageFiles {
  readonly #options: ImageFilesOptions;
  readonly #view: MergedView;
  readonly #contents: (LayerContent | undefined)[] = [];
  /** The number of the first inode of each layer. */
  readonly #inodes: readonly number[];

  constructor(options: ImageFilesOptions) {
    this.#options = options;
    this.#view = new MergedView(options.sidecars);
    let next = 1;
    this.#inodes = options.sidecars.map(({ count }) => (next += count) - count);
  }

  stat(path: Path, { follow }: { follow: boolean }): FileStat {
    return reading(() => this.#stat(resolvePath(this.#view, toByteString(path), { follow })));
  }

  /** Sorted by the bytes of the names. */
  readdir(path: Path): FileName[] {
    return reading(() => {
      const directory = resolvePath(this.#view, toByteString(path), { follow: true });
      if (directory.parts.length === 0) throw wrongKind(toByteString(path), "directory", "is not a directory");
      return this.#view.children(directory).map((node) => {
        const bytes = toBytes(node.path.slice(node.path.lastIndexOf("/") + 1) as ByteString);
        return { name: bytes.toString("utf8"), bytes, kind: this.#kind(node) };
      });
    });
  }

  readlink(path: Path): Buffer {
    return reading(() => {
      const node = resolvePath(this.#view, toByteString(path), { follow: false });
      if (this.#kind(node) !== "symlink") throw wrongKind(toByteString(path), "symlink", "is not a symlink");
      return toBytes(this.#view.sidecars[node.layer]!.target(node.entry) as ByteString);
    });
  }

  /** With a leading slash. */
  realpath(path: Path): Buffer {
    return reading(() => toBytes(`/${resolvePath(this.#view, toByteString(path), { follow: true }).path}` as ByteString));
  }

  async readFile(path: Path, signal: AbortSignal | undefined): Promise<Buffer> {
    const fd = this.#open(path);
    if (fd === undefined) return Buffer.alloc(0);
    try {
      return await buffer(createReadStream("", { fd, start: 0, ...(signal ? { signal } : {}) }));
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  }

  /** Undefined for an empty file. */
  openStream(path: Path, { start, end }: ReadRange): ReadStream | undefined {
    const fd = this.#open(path);
    if (fd === undefined) return undefined;
    return createReadStream("", { fd, start: start ?? 0, ...(end === undefined ? {} : { end }) });
  }

  close(): void {
    for (const sidecar of this.#options.sidecars) sidecar.close();
  }

  /** The caller closes it; undefined for an empty file. */
  #open(path: Path): number | undefined {
    return reading(() => {
      const node = resolvePath(this.#view, toByteString(path), { follow: true });
      const kind = this.#kind(node);
      if (kind !== "file") throw wrongKind(toByteString(path), "file", `is a ${kind}, not a regular file`);
      if (this.#view.sidecars[node.layer]!.size(node.entry) === 0) return undefined;
      const { sidecars, chunks, native, owner } = this.#options;
      const content = (this.#contents[node.layer] ??= new LayerContent(new LayerInodes(sidecars[node.layer]!, native, owner), chunks));
      return content.open(node.entry);
    });
  }

  #stat(node: MergedNode): FileStat {
    const own = this.#view.sidecars[node.layer]!;
    const { layer, entry } = this.#view.attributesOf(node);
    const sidecar = this.#view.sidecars[layer]!;
    const { mode, uid, gid, rdevMajor, rdevMinor, xattrs } = sidecar.modeAt(sidecar.modeRow(entry));
    const leader = own.leader(node.entry);
    return {
      kind: kindName(mode),
      mode,
      uid,
      gid,
      size: own.size(node.entry) || own.target(node.entry).length,
      mtime: sidecar.mtime(entry),
      mtimeNs: sidecar.mtimeNs(entry),
      deviceMajor: rdevMajor,
      deviceMinor: rdevMinor,
      inode: this.#inodes[node.layer]! + (leader < 0 ? node.entry : leader),
      xattrs: new Map(xattrs.map(({ name, value }) => [toBytes(name).toString("utf8"), toBytes(value)])),
    };
  }

  #kind({ layer, entry }: MergedNode): FileKind {
    return kindName(this.#view.sidecars[layer]!.mode(entry));
  }
}

const KINDS: ReadonlyMap<number, FileKind> = new Map([
  [S_IFREG, "file"],
  [S_IFDIR, "directory"],
  [S_IFLNK, "symlink"],
  [S_IFCHR, "char"],
  [S_IFBLK, "block"],
  [S_IFIFO, "fifo"],
]);

function kindName(mode: number): FileKind {
  return KINDS.get(mode & S_IFMT) ?? "socket";
}

function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    const message = `a sidecar of the image is damaged at byte ${error.offset}; pull the image again with \`force\`, or run shale fsck --repair`;
    throw new ShaleError("SIDECAR_INVALID", message, { offset: error.offset }, { cause: error });
  }
}
