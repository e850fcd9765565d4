/** Layers that are small to transfer and expensive to unpack: bombs, and large numbers of one kind of entry. */
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Limits } from "../../src/index.ts";
import { bytesBlob, layerFromTar, type TestLayer } from "../../src/testing/index.ts";
import { base256, END, rawEntry, rawHeader } from "../tar/raw-header.ts";
import { archive, dir, file, hardlink, symlink } from "./case.ts";

export interface Bomb {
  readonly layer: (n: number) => TestLayer;
  readonly limits?: Partial<Limits>;
  readonly eager?: boolean;
}

const PIECE: Buffer = Buffer.alloc(64 << 20);
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";

/** Returns `head` and `n` GiB of zeros, made of pieces that were compressed once. */
function zeros(head: Buffer, compress: (bytes: Buffer) => Buffer): Bomb["layer"] {
  return (n) => {
    const piece = compress(PIECE);
    const blob = bytesBlob(Buffer.concat([compress(head), ...Array.from({ length: n * 16 }, () => piece)]), LAYER);
    // the unpacked content is never computed, so the diff ID is a false one
    return { ...layerFromTar(END), ...blob };
  };
}

function flood(entry: (index: number, n: number) => Buffer, ...first: readonly Buffer[]): Bomb["layer"] {
  return (n) => layerFromTar(Buffer.concat([...first, ...Array.from({ length: n }, (_, index) => entry(index, n)), END]));
}

const FILE_OF_12_GIB: Buffer = rawHeader({ name: "zeros", size: base256(12n << 30n, 12) });
const ENDED: Buffer = archive(rawEntry({ name: "a" }, "x"));
const DEEP: string = Array.from({ length: 1000 }, (_, depth) => String(depth % 10)).join("/");
const UNBOUND: Partial<Limits> = { ratio: 1_000_000, ratioFloor: 64 * 1024 ** 3 };

export const BOMBS: Readonly<Record<string, Bomb>> = {
  "gzip in a file": { layer: zeros(FILE_OF_12_GIB, (bytes) => gzipSync(bytes)) },
  "zstd in a file": { layer: zeros(FILE_OF_12_GIB, (bytes) => zstdCompressSync(bytes)) },
  "gzip after the end": { layer: zeros(ENDED, (bytes) => gzipSync(bytes)) },
  "zstd after the end": { layer: zeros(ENDED, (bytes) => zstdCompressSync(bytes)) },
  "zstd up to 512 MiB": { layer: zeros(FILE_OF_12_GIB, (bytes) => zstdCompressSync(bytes)), limits: { ...UNBOUND, layerBytes: 512 << 20 } },
  "zstd up to 1 GiB": { layer: zeros(FILE_OF_12_GIB, (bytes) => zstdCompressSync(bytes)), limits: { ...UNBOUND, layerBytes: 1024 ** 3 } },
  "distinct entries": { layer: flood((index) => dir(`d${index % 100}/${index}`)) },
  "one entry": { layer: flood(() => file("again", "x")) },
  "one directory and a file in it, by turns": { layer: flood((index) => [file("d", ""), dir("d"), dir("d/e/f")][index % 3]!) },
  "hard links in a reverse chain": {
    layer: flood((index, n) => (index === n - 1 ? file(`l${index}`) : hardlink(`l${index}`, `l${index + 1}`))),
  },
  "hard links to one file": { layer: flood((index) => hardlink(`l${index}`, "target"), file("target")) },
  "opaque markers": { layer: flood((index) => file(`d${index}/.wh..wh..opq`, "")) },
  whiteouts: { layer: flood((index) => file(`.wh.${index}`, "")) },
  "entries below a deep path": { layer: flood((index) => file(`s/${index}`, ""), symlink("s", DEEP)) },
  "chains of symlinks": {
    layer: flood(
      (index) => dir(`s39/${index}/x`),
      ...Array.from({ length: 40 }, (_, i) => symlink(`s${i}`, i === 0 ? "end" : `${"./".repeat(100)}s${i - 1}`)),
    ),
  },
  "equal files": { layer: flood((index) => file(`f${index}`, "equal")), eager: true },
};
