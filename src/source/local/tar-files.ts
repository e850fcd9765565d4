/**
 * The files in a tar, found by one walk over its headers and read where they lie. Nothing is unpacked: a name in the archive is a key
 * of a map and never part of a path. Links are followed inside the archive only.
 */
import { toByteString, type ByteString } from "../../bytes.ts";
import { ShaleError } from "../../errors.ts";
import { quote } from "../../image/document.ts";
import { readEntry } from "../../tar/read-entry.ts";
import type { TarEntry } from "../../tar/entry.ts";
import { sourceInvalid, type LayoutFile, type LayoutFiles } from "./layout-files.ts";

/** An image has a few entries a layer. */
const MAX_ENTRIES = 100_000;
/** Longer ones are names of nothing that is looked for. */
const MAX_NAME = 512;
const MAX_LINKS = 8;
const WINDOW: number = 128 * 1024;
/** Any header lies within one window. */
const HEADER_LIMIT: number = 64 * 1024;

/** Read twice they may mean two things: which of two counts is settled by nothing. */
const UNIQUE: ReadonlySet<string> = new Set(["manifest.json", "index.json", "oci-layout"]);

export interface TarPlace {
  readonly offset: number;
  readonly size: number;
}

type Found = TarPlace | { readonly target: string | undefined };

export class TarFiles implements LayoutFiles {
  readonly where: string;
  readonly #file: LayoutFile;
  readonly #entries: ReadonlyMap<string, Found>;

  private constructor(where: string, file: LayoutFile, entries: ReadonlyMap<string, Found>) {
    this.where = where;
    this.#file = file;
    this.#entries = entries;
  }

  /** Takes the file over. @throws SOURCE_INVALID for what is no tar, or cut off, or has two of a name that must be unique */
  static async open(where: string, file: LayoutFile, signal?: AbortSignal): Promise<TarFiles> {
    try {
      return new TarFiles(where, file, await readEntries(where, file, signal));
    } catch (error) {
      await file[Symbol.asyncDispose]();
      if (!ShaleError.is(error) || error.code === "SOURCE_INVALID") throw error;
      throw sourceInvalid(where, "is no tar archive that can be read", error);
    }
  }

  has(name: string): boolean {
    return this.#entries.has(toByteString(name));
  }

  /** Where a file's bytes lie; undefined if there is none. @throws SOURCE_INVALID for a name or link that leaves the archive, or leads nowhere */
  find(name: string): TarPlace | undefined {
    let at = normalize(toByteString(name));
    if (at === undefined) throw sourceInvalid(this.where, `: ${quote(name)} is no name of a file in an archive`);
    for (let hops = 0; hops <= MAX_LINKS; hops++) {
      const found = this.#entries.get(at);
      if (found === undefined && hops === 0) return undefined;
      if (found === undefined) break;
      if (!("target" in found)) return found;
      if (found.target === undefined) break;
      at = found.target;
    }
    throw sourceInvalid(this.where, `: ${quote(name)} is a link that leads to no file of the archive`);
  }

  async open(name: string): Promise<LayoutFile | undefined> {
    const place = this.find(name);
    return place && this.openAt(place);
  }

  /** Nothing to close: the archive stays open. */
  openAt({ offset: start, size }: TarPlace): LayoutFile {
    const read: LayoutFile["read"] = (buffer, offset, length, position) =>
      this.#file.read(buffer, offset, Math.max(0, Math.min(length, size - position)), start + position);
    return { size, read, [Symbol.asyncDispose]: async () => {} };
  }

  async close(): Promise<void> {
    await this.#file[Symbol.asyncDispose]();
  }
}

async function readEntries(where: string, file: LayoutFile, signal: AbortSignal | undefined): Promise<Map<string, Found>> {
  const entries = new Map<string, Found>();
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
      if (++count > MAX_ENTRIES) throw sourceInvalid(where, `has more than ${MAX_ENTRIES} entries, and is no archive of an image`);
      if (position + entry.data + entry.stored > file.size) throw sourceInvalid(where, "is cut off; copy it again");
      add(where, entries, entry, position);
      at = entry.end;
    } while (at < length);
    // the window holds any header, so it is never "more" at its very beginning
    if (at === 0) throw sourceInvalid(where, "became shorter while it was read");
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

function add(where: string, entries: Map<string, Found>, entry: TarEntry, position: number): void {
  const name = entry.path.length <= MAX_NAME ? normalize(entry.path) : undefined;
  const found = name === undefined ? undefined : foundOf(entry, name, position);
  if (name === undefined || found === undefined) return;
  if (UNIQUE.has(name) && entries.has(name)) throw sourceInvalid(where, `has two files ${quote(name)}; which of them counts is unknown`);
  entries.set(name, found);
}

/** A sparse file is none that an archive of an image has. */
function foundOf(entry: TarEntry, name: string, position: number): Found | undefined {
  if (entry.kind === "file") return entry.sparse ? { target: undefined } : { offset: position + entry.data, size: entry.size };
  if (entry.kind !== "symlink" && entry.kind !== "hardlink") return undefined;
  const base = entry.kind === "symlink" && name.includes("/") ? name.slice(0, name.lastIndexOf("/") + 1) : "";
  const { linkPath } = entry;
  if (linkPath.length > MAX_NAME || (entry.kind === "symlink" && linkPath.startsWith("/"))) return { target: undefined };
  return { target: normalize((base + linkPath) as ByteString) };
}

/** Relative, without `.` and `..`; undefined for what would leave the archive, or is nothing. */
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
