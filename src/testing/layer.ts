/** Layers for tests, packed by tar-stream. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import { computeDigest } from "../image/compute-digest.ts";
import { parseDiffId, type DiffId } from "../image/digest.ts";
import type { Compression } from "../image/compression.ts";
import { bytesBlob, type TestBlob } from "./blob.ts";

/** What goes into a layer, in this order. Names are UTF-8; write tar bytes yourself (`layerFromTar`) for anything stranger. */
export interface TestEntry {
  readonly path: string;
  /** Default: `file`. */
  readonly type?: "file" | "directory" | "symlink" | "hardlink" | "char" | "block" | "fifo";
  /** Default: 0755 for a directory, 0777 for a symlink, else 0644. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Seconds since 1970; default 0. */
  readonly mtime?: number;
  readonly content?: string | Uint8Array;
  /** Of a symlink or hard link. */
  readonly target?: string;
  readonly major?: number;
  readonly minor?: number;
  /** Text values by full name, as in `user.note`. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

export interface TestLayer extends TestBlob {
  readonly diffId: DiffId;
}

export interface LayerOptions {
  /** Default: `gzip`. */
  readonly compression?: Compression;
}

type TarType = "file" | "directory" | "symlink" | "link" | "character-device" | "block-device" | "fifo";
const TAR_TYPES: Readonly<Record<NonNullable<TestEntry["type"]>, TarType>> = {
  file: "file",
  directory: "directory",
  symlink: "symlink",
  hardlink: "link",
  char: "character-device",
  block: "block-device",
  fifo: "fifo",
};

const SUFFIX: Readonly<Record<Compression, string>> = { none: "", gzip: "+gzip", zstd: "+zstd" };

/** A layer of these entries. The same entries give the same bytes. */
export async function buildLayer(entries: readonly TestEntry[], options: LayerOptions = {}): Promise<TestLayer> {
  return layerFromTar(await packEntries(entries), options);
}

/** A layer whose uncompressed bytes are given. */
export function layerFromTar(tar: Uint8Array, options: LayerOptions = {}): TestLayer {
  const compression = options.compression ?? "gzip";
  const mediaType = `application/vnd.oci.image.layer.v1.tar${SUFFIX[compression]}`;
  return { ...bytesBlob(compress(tar, compression), mediaType), diffId: parseDiffId(computeDigest(tar)) };
}

function compress(tar: Uint8Array, compression: Compression): Uint8Array {
  switch (compression) {
    case "none":
      return tar;
    case "gzip":
      return gzipSync(tar);
    case "zstd":
      return zstdCompressSync(tar);
  }
}

async function packEntries(entries: readonly TestEntry[]): Promise<Buffer> {
  const { pack } = await import("tar-stream");
  const archive = pack();
  for (const entry of entries) {
    archive.entry(tarHeader(entry), Buffer.from(entry.content ?? ""));
  }
  archive.finalize();
  const parts: Buffer[] = [];
  for await (const part of archive) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** tar-stream takes mode 0 for "none given", so mode 0 is written with a file type bit that its encoder masks away. */
function tarHeader(entry: TestEntry): { name: string; type: TarType; pax?: Record<string, string> } {
  const type = TAR_TYPES[entry.type ?? "file"];
  const defaultMode = type === "directory" ? 0o755 : type === "symlink" ? 0o777 : 0o644;
  const xattrs = Object.entries(entry.xattrs ?? {}).map(([name, value]): [string, string] => [`SCHILY.xattr.${name}`, value]);
  const header = {
    name: entry.path,
    type,
    mode: (entry.mode ?? defaultMode) | 0o100000,
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtime: new Date((entry.mtime ?? 0) * 1000),
    linkname: entry.target ?? null,
    devmajor: entry.major ?? 0,
    devminor: entry.minor ?? 0,
  };
  return xattrs.length === 0 ? header : { ...header, pax: Object.fromEntries(xattrs) };
}
