/** Ends of archives and compressed streams, and data after the end. */
import { gzipSync, zstdCompressSync, crc32 } from "node:zlib";
import { END } from "../../tar/raw-header.ts";
import { archive, file, refuse, tree, type HostileCase } from "../case.ts";

const CORRUPT = refuse("LAYER_CORRUPT");
const A = 'a file 644 "x"';

const PIECES: readonly Buffer[] = [file("a"), file("p".repeat(150), "y".repeat(1500)), file("b")];
const WHOLE: Buffer = Buffer.concat([...PIECES, END]);

/** An archive truncated at a block. At the boundary of an entry it only lacks its end; elsewhere it is damaged. */
const CUTS: readonly HostileCase[] = Array.from({ length: WHOLE.length / 512 - 1 }, (_, index): HostileCase => {
  const at = (index + 1) * 512;
  const ends = PIECES.map((_piece, i) => PIECES.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0));
  const whole = ends.filter((end) => end <= at).length;
  // an extension header at the end of the archive is ignored, as in Go
  const isWhole = at >= ends[2]! || ends.includes(at) || at === ends[0]! + 1024;
  const lines = [A, `${"p".repeat(150)} file 644 1500`, 'b file 644 "x"'].slice(0, whole);
  return { name: `truncated at byte ${at}`, tar: () => WHOLE.subarray(0, at), expect: isWhole ? tree(...lines) : refuse("TAR_INVALID") };
});

/** A zstd frame with one raw block, whose header requires this window. */
function zstdWithWindow(log: number): Buffer {
  const block = Buffer.from("hello");
  return Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3]), Buffer.from([(block.length << 3) | 1, 0, 0]), block]);
}

function patched(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = copy[index]! ^ 0xff;
  return copy;
}

/** A gzip member whose header has a comment and a header checksum. */
function gzipWithHeaderChecksum(tar: Buffer): Buffer {
  const plain = gzipSync(tar);
  const head = Buffer.concat([plain.subarray(0, 3), Buffer.from([0x02]), plain.subarray(4, 10)]);
  const sum = Buffer.alloc(2);
  sum.writeUInt16LE(crc32(head) & 0xffff);
  return Buffer.concat([head, sum, plain.subarray(10)]);
}

const plain = (tar: Buffer): Buffer => tar;
const a = (): Buffer => archive(file("a"));

export const FRAMING: readonly HostileCase[] = [
  ...CUTS,
  { name: "an empty layer", tar: () => Buffer.alloc(0), expect: tree() },
  { name: "an empty blob", tar: () => Buffer.alloc(0), blob: plain, expect: tree() },
  { name: "zeros only", tar: () => Buffer.alloc(10_240), expect: tree() },
  { name: "100 bytes of zeros", tar: () => Buffer.alloc(100), expect: refuse("TAR_INVALID") },
  { name: "64 MiB of zeros", tar: () => Buffer.alloc(64 << 20), expect: tree() },
  {
    name: "random bytes",
    tar: () => Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919 + 13) % 251)),
    expect: refuse("TAR_INVALID"),
  },
  {
    name: "one block of zeros between entries",
    tar: () => Buffer.concat([file("a"), Buffer.alloc(512), file("smuggled"), END]),
    expect: refuse("TAR_INVALID"),
  },
  { name: "a second archive after the end", tar: () => Buffer.concat([a(), archive(file("smuggled"))]), expect: tree(A) },
  { name: "garbage after the end", tar: () => Buffer.concat([a(), Buffer.alloc(5000, 0x41)]), expect: tree(A) },
  {
    name: "8 MiB of zeros after the end",
    cve: ["CVE-2017-14992"],
    tar: () => Buffer.concat([a(), Buffer.alloc(8 << 20)]),
    expect: tree(A),
  },
  { name: "no compression", tar: a, blob: plain, expect: tree(A) },
  {
    name: "gzip: two members",
    tar: a,
    blob: (tar) => Buffer.concat([gzipSync(tar.subarray(0, 700)), gzipSync(tar.subarray(700))]),
    expect: tree(A),
  },
  {
    name: "gzip: 20,000 empty members",
    cve: ["CVE-2022-30631"],
    tar: a,
    blob: (tar) => Buffer.concat([...Array.from({ length: 20_000 }, () => gzipSync("")), gzipSync(tar)]),
    expect: tree(A),
  },
  { name: "gzip: a header checksum", tar: a, blob: gzipWithHeaderChecksum, expect: tree(A) },
  { name: "gzip: NULs after the stream", tar: a, blob: (tar) => Buffer.concat([gzipSync(tar), Buffer.alloc(3000)]), expect: tree(A) },
  {
    name: "gzip: garbage after the stream",
    tar: a,
    blob: (tar) => Buffer.concat([gzipSync(tar), Buffer.from("garbage")]),
    expect: CORRUPT,
  },
  { name: "gzip: a wrong checksum", tar: a, blob: (tar) => patched(gzipSync(tar), -8), expect: CORRUPT },
  { name: "gzip: a wrong length", tar: a, blob: (tar) => patched(gzipSync(tar), -1), expect: CORRUPT },
  { name: "gzip: damaged data", tar: a, blob: (tar) => patched(gzipSync(tar), 20), expect: CORRUPT },
  { name: "gzip: truncated", tar: a, blob: (tar) => gzipSync(tar).subarray(0, -9), expect: CORRUPT },
  {
    name: "zstd: two frames and a skippable one",
    tar: a,
    blob: (tar) =>
      Buffer.concat([
        zstdCompressSync(tar.subarray(0, 700)),
        Buffer.from("502a4d1804000000deadbeef", "hex"),
        zstdCompressSync(tar.subarray(700)),
      ]),
    expect: tree(A),
  },
  {
    name: "zstd: 20,000 empty frames",
    tar: a,
    blob: (tar) => Buffer.concat([...Array.from({ length: 20_000 }, () => zstdCompressSync("")), zstdCompressSync(tar)]),
    expect: tree(A),
  },
  { name: "zstd: truncated", tar: a, blob: (tar) => zstdCompressSync(tar).subarray(0, -3), expect: CORRUPT },
  {
    name: "zstd: garbage after the stream",
    tar: a,
    blob: (tar) => Buffer.concat([zstdCompressSync(tar), Buffer.from("garbage")]),
    expect: CORRUPT,
  },
  { name: "zstd: a reserved block", tar: a, blob: () => Buffer.from("28b52ffd005807000000000000", "hex"), expect: CORRUPT },
  ...[28, 31, 41].map((log): HostileCase => ({
    name: `zstd: a window of 2^${log}`,
    tar: () => Buffer.from("hello"),
    blob: () => zstdWithWindow(log),
    expect: CORRUPT,
  })),
  {
    name: "zstd: a window of 2^27, and no archive in it",
    tar: () => Buffer.from("hello"),
    blob: () => zstdWithWindow(27),
    expect: refuse("TAR_INVALID"),
  },
];
