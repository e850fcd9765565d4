/**
 * Another image with the same files in other layers, or with the same files several times over, each copy with bytes of its own.
 *
 * The layers are read twice: first to see which entry of a path is the last, then to deal these out. A directory is written to each
 * layer that has something below it, as image builders do. A hard link goes where its target goes.
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createGzip } from "node:zlib";
import { extract, pack, type Header, type Pack } from "tar-stream";
import { blobPath, readLayers, writeImage, type LayoutImage, type NewLayer } from "./layout.ts";

export interface Recipe {
  /** Layers of the new image: runs of paths in order, with about equal bytes. */
  readonly layers: number;
  /** Every file once below each of these directories, begun with the directory's name; default: as it is. */
  readonly copies?: readonly string[];
}

/** One entry of a layer. */
export interface LayerEntry {
  /** Without `./` and `/` at the ends. */
  readonly path: string;
  readonly header: Header;
  /** Must be read to its end. */
  readonly content: AsyncIterable<Uint8Array> & { resume(): unknown };
}

export async function relayer(from: LayoutImage, to: LayoutImage, recipe: Recipe): Promise<void> {
  const last = await lastEntries(from);
  const place = placement(last, recipe.layers);
  await mkdir(join(to.directory, "blobs/sha256"), { recursive: true });
  const writers = Array.from({ length: recipe.layers }, (_, index) => new LayerWriter(to, index, last));
  for await (const { layer, entry } of allEntries(from)) {
    const chosen = last.get(entry.path)?.layer === layer ? place.get(entry.path) : undefined;
    if (chosen === undefined) entry.content.resume();
    else await writers[chosen]!.add(entry, recipe.copies);
  }
  const layers: NewLayer[] = [];
  for (const writer of writers) layers.push(await writer.finish());
  await writeImage(to, from, layers);
}

/** Every entry of every layer, bottom to top. */
export async function* allEntries(image: LayoutImage): AsyncGenerator<{ readonly layer: number; readonly entry: LayerEntry }> {
  for (const [layer, { digest }] of (await readLayers(image)).entries()) {
    const archive = extract();
    const inflated = createReadStream(blobPath(image, digest)).pipe(createGunzip());
    inflated.on("error", (error) => archive.destroy(error)).pipe(archive as unknown as Writable);
    for await (const content of archive) {
      const path = content.header.name.replace(/^\.?\/+/, "").replace(/\/+$/, "");
      yield { layer, entry: { path, header: content.header, content: content as LayerEntry["content"] } };
    }
  }
}

interface Survivor {
  readonly layer: number;
  readonly header: Header;
}

async function lastEntries(image: LayoutImage): Promise<Map<string, Survivor>> {
  const last = new Map<string, Survivor>();
  for await (const { layer, entry } of allEntries(image)) {
    entry.content.resume();
    const { path, header } = entry;
    const deleted = /^(.*\/)?\.wh\.([^/]+)$/.exec(path);
    if (path === "") continue;
    if (!deleted) last.set(path, { layer, header });
    else deleteBelow(last, `${deleted[1] ?? ""}${deleted[2]!}`, layer);
  }
  return last;
}

function deleteBelow(last: Map<string, Survivor>, path: string, layer: number): void {
  if (path.endsWith(".wh..opq")) throw new Error(`relayer ${path}: opaque directories are not handled`);
  for (const [name, survivor] of last) if (survivor.layer < layer && (name === path || name.startsWith(`${path}/`))) last.delete(name);
}

/** The layer of each path, from 0. */
function placement(last: ReadonlyMap<string, Survivor>, layers: number): Map<string, number> {
  const paths = [...last.keys()].sort();
  const weight = ({ header }: Survivor): number => 512 + header.size;
  const total = paths.reduce((sum, path) => sum + weight(last.get(path)!), 0);
  const place = new Map<string, number>();
  let before = 0;
  for (const path of paths) {
    place.set(path, Math.floor((before / total) * layers));
    before += weight(last.get(path)!);
  }
  for (const [path, { layer, header }] of last) {
    if (header.type !== "link") continue;
    const target = header.linkname.replace(/^\.?\/+/, "");
    if (last.get(target)?.layer !== layer) throw new Error(`relayer ${path}: its target ${target} is of another layer`);
    place.set(path, place.get(target)!);
  }
  return place;
}

class LayerWriter {
  readonly #pack: Pack = pack();
  readonly #diffId = createHash("sha256");
  readonly #digest = createHash("sha256");
  readonly #file: string;
  readonly #image: LayoutImage;
  readonly #written: Promise<void>;
  readonly #last: ReadonlyMap<string, Survivor>;
  readonly #directories = new Set<string>();

  constructor(image: LayoutImage, index: number, last: ReadonlyMap<string, Survivor>) {
    this.#image = image;
    this.#file = join(image.directory, `layer-${index}`);
    this.#last = last;
    const plain = new PassThrough().on("data", (data: Buffer) => this.#diffId.update(data));
    const packed = new PassThrough().on("data", (data: Buffer) => this.#digest.update(data));
    this.#written = pipeline(Readable.from(this.#pack, { objectMode: false }), plain, createGzip(), packed, createWriteStream(this.#file));
  }

  async add({ path, header, content }: LayerEntry, copies: readonly string[] = [""]): Promise<void> {
    const parts: Uint8Array[] = [];
    for await (const part of content) parts.push(part);
    const bytes = Buffer.concat(parts);
    for (const copy of copies) {
      await this.#addParents(path, copy);
      const named = { ...header, name: prefixed(copy, path) };
      if (header.type === "directory") await this.#addDirectory(named);
      else if (header.type === "link") await this.#write({ ...named, linkname: prefixed(copy, header.linkname.replace(/^\.?\/+/, "")) });
      else if (header.type === "file" && bytes.length > 0) await this.#write(named, Buffer.concat([Buffer.from(copy), bytes]));
      else await this.#write(named);
    }
  }

  async finish(): Promise<NewLayer> {
    this.#pack.finalize();
    await this.#written;
    const digest = `sha256:${this.#digest.digest("hex")}`;
    await rename(this.#file, blobPath(this.#image, digest));
    const { size } = await stat(blobPath(this.#image, digest));
    return { digest, size, diffId: `sha256:${this.#diffId.digest("hex")}` };
  }

  async #addParents(path: string, copy: string): Promise<void> {
    const names = path.split("/").slice(0, -1);
    for (const depth of names.keys()) {
      const parent = names.slice(0, depth + 1).join("/");
      const survivor = this.#last.get(parent);
      if (survivor?.header.type === "directory") await this.#addDirectory({ ...survivor.header, name: prefixed(copy, parent) });
    }
  }

  async #addDirectory(header: Header): Promise<void> {
    if (this.#directories.has(header.name)) return;
    this.#directories.add(header.name);
    await this.#write({ ...header, name: `${header.name}/` });
  }

  /** Waits while the gzip stream behind it is full. */
  async #write(header: Header, bytes?: Buffer): Promise<void> {
    // the keys of `pax` that are fields of the header too would override what is written here
    const records = Object.entries((header.pax ?? {}) as Record<string, string>).filter(([key]) => key.startsWith("SCHILY.xattr."));
    const pax = records.length > 0 ? Object.fromEntries(records) : null;
    const complete = { ...header, size: bytes?.length ?? 0, pax };
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null): void => (error ? reject(error) : resolve());
      // tar-stream takes mode 0 for none given; the type bit is masked away
      this.#pack.entry({ ...complete, mode: header.mode | 0o100000 }, bytes ?? Buffer.alloc(0), done);
    });
  }
}

function prefixed(copy: string, path: string): string {
  return copy === "" ? path : `${copy}/${path}`;
}
