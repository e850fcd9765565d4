/**
 * The files in a tar, found by one walk over its headers and read in place. Nothing is unpacked: a name in the archive is a key of a
 * map and never part of a path. Links are followed only inside the archive.
 */
import { toByteString, type ByteString } from "../../bytes.ts";
import { ShaleError } from "../../errors.ts";
import { quote } from "../../image/document.ts";
import { readEntry } from "../../tar/read-entry.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { sourceInvalid, type LayoutFile, type LayoutFiles } from "./layout-files.ts";

/** Far more than an image needs, which has a few entries per layer. */
const MAX_ENTRIES = 100_000;
/** Entries with longer names are ignored: no file that is read has one. */
const MAX_NAME = 512;
const MAX_LINKS = 8;
const WINDOW: number = 128 * 1024;
/** Smaller than the window, so that every header fits in it. */
const HEADER_LIMIT: number = 64 * 1024;

/** Two entries with one of these names are refused: readers could choose different ones. */
const UNIQUE: ReadonlySet<string> = new Set(["manifest.json", "index.json", "oci-layout"]);

/** The data of a file in the archive. */
export interface EntryLocation {
  readonly offset: number;
  readonly size: number;
}

/** A file, or a link; a link without a target leads to no readable file. */
type Entry = EntryLocation | { readonly target: string | undefined };

export class TarFiles implements LayoutFiles {
  readonly where: string;
  readonly #file: LayoutFile;
  readonly #entries: ReadonlyMap<string, Entry>;

  private constructor(where: string, file: LayoutFile, entries: ReadonlyMap<string, Entry>) {
    this.where = where;
    this.#file = file;
    this.#entries = entries;
  }

  /** Takes ownership of the file. @throws SOURCE_INVALID if it is not a tar, is cut off, or has two entries of a name that must be unique */
  static async open(where: string, file: LayoutFile, signal?: AbortSignal): Promise<TarFiles> {
    try {
      return new TarFiles(where, file, await readEntries(where, file, signal));
    } catch (error) {
      await file[Symbol.asyncDispose]();
      if (!ShaleError.is(error) || error.code === "SOURCE_INVALID") throw error;
      throw sourceInvalid(where, "is not a readable tar archive; copy or save it again", error);
    }
  }

  has(name: string): boolean {
    return this.#entries.has(toByteString(name));
  }

  /** The location of a file; undefined if it is missing. @throws SOURCE_INVALID for a name or link that leaves the archive or leads nowhere */
  find(name: string): EntryLocation | undefined {
    let at = normalize(toByteString(name));
    if (at === undefined) throw sourceInvalid(this.where, `: ${quote(name)} is not a valid name of a file in an archive`);
    for (let hops = 0; hops <= MAX_LINKS; hops++) {
      const found = this.#entries.get(at);
      if (found === undefined && hops === 0) return undefined;
      if (found === undefined) break;
      if (!("target" in found)) return found;
      if (found.target === undefined) break;
      at = found.target;
    }
    throw sourceInvalid(this.where, `: ${quote(name)} is a link that does not lead to a file of the archive`);
  }

  async open(name: string): Promise<LayoutFile | undefined> {
    const location = this.find(name);
    return location && this.openAt(location);
  }

  /** Disposing of the file does nothing: the archive stays open. */
  openAt({ offset: start, size }: EntryLocation): LayoutFile {
    const read: LayoutFile["read"] = (buffer, offset, length, position) =>
      this.#file.read(buffer, offset, Math.max(0, Math.min(length, size - position)), start + position);
    return { size, read, [Symbol.asyncDispose]: async () => {} };
  }

  async close(): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}

async function readEntries(where: string, file: LayoutFile, signal: AbortSignal | undefined): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  const buffer = Buffer.alloc(WINDOW);
  let count = 0;
  for (let position = 0; ;) {
    signal?.throwIfAborted();
    const length = await readWindow(file, buffer, position);
    const final = position + length >= file.size;
    let at = 0;
    do {
      const entry = readEntry(buffer, at, length, { base: position, final, headerLimit: HEADER_LIMIT });
      if (entry === "end") return entries;
      if (entry === "more") break;
      if (++count > MAX_ENTRIES) throw sourceInvalid(where, `has more than ${MAX_ENTRIES} entries, so it is not an archive of an image`);
      if (position + entry.data + entry.stored > file.size) throw sourceInvalid(where, "is cut off; copy it again");
      add(where, entries, entry, position);
      at = entry.end;
    } while (at < length);
    // every header fits in the window, so "more" at its beginning means that the file ended
    if (at === 0) throw sourceInvalid(where, "became shorter while it was read; try again");
    position += at;
  }
}

async function readWindow(file: LayoutFile, buffer: Buffer, position: number): Promise<number> {
  let length = 0;
  while (length < buffer.length) {
    const bytesRead = await file.read(buffer, length, buffer.length - length, position + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return length;
}

function add(where: string, entries: Map<string, Entry>, entry: TarEntry, position: number): void {
  const name = entry.path.length <= MAX_NAME ? normalize(entry.path) : undefined;
  const found = name === undefined ? undefined : entryOf(entry, name, position);
  if (name === undefined || found === undefined) return;
  if (UNIQUE.has(name) && entries.has(name))
    throw sourceInvalid(where, `has two files ${quote(name)}, so its content is ambiguous; save the image again`);
  entries.set(name, found);
}

/** Sparse files are not supported: archives of images have none. */
function entryOf(entry: TarEntry, name: string, position: number): Entry | undefined {
  if (entry.kind === "file") return entry.sparse ? { target: undefined } : { offset: position + entry.data, size: entry.size };
  if (entry.kind !== "symlink" && entry.kind !== "hardlink") return undefined;
  const base = entry.kind === "symlink" && name.includes("/") ? name.slice(0, name.lastIndexOf("/") + 1) : "";
  const { linkPath } = entry;
  if (linkPath.length > MAX_NAME || (entry.kind === "symlink" && linkPath.startsWith("/"))) return { target: undefined };
  return { target: normalize((base + linkPath) as ByteString) };
}

/** The relative path without `.` and `..`; undefined if it is empty or leaves the archive. */
function normalize(path: ByteString): string | undefined {
  if (path.startsWith("/")) return undefined;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.length === 0 ? undefined : parts.join("/");
}
