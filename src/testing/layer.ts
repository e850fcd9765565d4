/** Builds layers for tests, with tar-stream. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import { computeDigest } from "../image/compute-digest.ts";
import { parseDiffId, type DiffId } from "../image/digest.ts";
import type { Compression } from "../image/compression.ts";
import { bytesBlob, type TestBlob } from "./blob.ts";

/** An entry of a layer. Names are UTF-8; for other names write the tar bytes yourself (`layerFromTar`). */
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
  /** The target of a symlink or hard link. */
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

/** Builds a layer with these entries, in this order. Equal entries give equal bytes. */
export async function buildLayer(entries: readonly TestEntry[], options: LayerOptions = {}): Promise<TestLayer> {
  return layerFromTar(await packEntries(entries), options);
}

/** Builds a layer from its uncompressed bytes. */
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

/** tar-stream replaces mode 0 by its default, so the mode gets a file type bit, which its encoder masks out. */
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
