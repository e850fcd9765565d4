/** The layers behind the valid vectors of format/vectors/, and the one that the rejections are made from. */
import { Flag, type ByteString, type SidecarEntry, type Xattr } from "../format/index.ts";

/** Entries in the order of the file, with the rest of what `encodeSidecar` takes. */
export interface VectorLayer {
  readonly diffId: Uint8Array;
  readonly indexed: boolean;
  readonly live: number;
  readonly entries: readonly SidecarEntry[];
  readonly order: Uint32Array;
  readonly chunks: Uint8Array;
}

export function entry(path: string, fields: Partial<SidecarEntry> = {}): SidecarEntry {
  const numbers = { uid: 0, gid: 0, rdevMajor: 0, rdevMinor: 0, mtime: 0, mtimeNs: 0, size: 0, offset: 0, flags: 0 };
  return { path, mode: 0o100644, ...numbers, xattrs: [], chunk: -1, target: "", leader: -1, ...fields };
}

const DIRECTORY: Partial<SidecarEntry> = { mode: 0o040755 };
const ROOT: SidecarEntry = entry("", DIRECTORY);

/** A layer whose entries are all in the tar, in the order given, with as many chunks as they name. */
export function layerOf(entries: readonly SidecarEntry[], fields: Partial<VectorLayer> = {}): VectorLayer {
  const chunks = Math.max(0, ...entries.map(({ chunk }) => chunk + 1));
  const inTar = [...entries.keys()].filter((number) => (entries[number]!.flags & Flag.implicit) === 0);
  return {
    diffId: Buffer.alloc(32, 0xd1),
    indexed: true,
    live: entries.filter(({ flags }) => (flags & Flag.shadowed) === 0).length,
    entries,
    order: Uint32Array.from(inTar),
    chunks: Buffer.concat(Array.from({ length: chunks }, (_, row) => chunkId(row))),
    ...fields,
  };
}

const file = (chunk: number, offset: number): Partial<SidecarEntry> => ({ size: 3, chunk, offset });
const group: Partial<SidecarEntry> = { size: 3, chunk: 1, flags: Flag.hardLink };

/** One of each kind, in the order of the indexed form. */
const KINDS: readonly SidecarEntry[] = [
  ROOT,
  entry("block", { mode: 0o060660, rdevMajor: 8, rdevMinor: 1 }),
  entry("char", { mode: 0o020666, rdevMajor: 1, rdevMinor: 3 }),
  entry("empty"),
  entry("fifo", { mode: 0o010600 }),
  entry("file", { ...file(0, 4096), mode: 0o104755, uid: 1000, gid: 0xffff_ffff }),
  entry("implied", { ...DIRECTORY, flags: Flag.implicit }),
  entry("link", { ...group, leader: 7, offset: 8192 }),
  entry("linked", { ...group, leader: 7 }),
  entry("marker", { ...file(0, 12_288), mode: 0o644, uid: 5, mtime: 7, flags: Flag.whiteout }),
  entry("opaque", { ...DIRECTORY, flags: Flag.opaque }),
  entry("socket", { mode: 0o140755 }),
  entry("sparse", { size: 1 << 20, chunk: 2, offset: 16_384, flags: Flag.sparse }),
  entry("symlink", { mode: 0o120777, target: "../a b" }),
  entry("whiteout", { mode: 0, flags: Flag.whiteout }),
  entry("xattrs", { xattrs: [xattr("security.capability", "\x01\x00\xff"), xattr("user.\xff", "")] }),
  entry("implied/below", { ...file(0, 20_480) }),
  entry("opaque/.wh..wh..opq", { flags: Flag.shadowed }),
  entry("a header that is no file", { mode: 0, flags: Flag.shadowed }),
  entry("file", { ...file(1, 24_576), flags: Flag.shadowed }),
];

/** The base of the rejections: two directories, files, a group of hard links, a symlink, a whiteout, and one shadowed entry. */
export const SMALL: VectorLayer = layerOf([
  ROOT,
  entry("d", DIRECTORY),
  entry("f", { ...file(0, 1024), flags: Flag.hardLink, leader: 2, xattrs: [xattr("user.a", "x"), xattr("user.b", "y")] }),
  entry("g", { ...file(0, 0), flags: Flag.hardLink, leader: 2, xattrs: [xattr("user.a", "x"), xattr("user.b", "y")] }),
  entry("d/l", { mode: 0o120777, target: "../f" }),
  entry("d/m", { ...file(1, 2048), mode: 0o100600 }),
  entry("d/w", { mode: 0, flags: Flag.whiteout }),
  entry("f", { ...file(1, 4096), flags: Flag.shadowed }),
]);

const BYTES: readonly string[] = [
  "\x01",
  "\n",
  "\x1b[31m",
  " ",
  "-rf",
  "C:x",
  "\\",
  "\xc0\xae",
  "\xe9",
  "\xed\xa0\x80",
  "\xff",
  "\xff\xfe",
];
const TIMES: readonly [number, number][] = [
  [-Number.MAX_SAFE_INTEGER, 0],
  [-2, 500_000_000],
  [-1, 999_999_999],
  [2 ** 32, 1],
  [Number.MAX_SAFE_INTEGER, 999_999_999],
];

export const VALID: Readonly<Record<string, VectorLayer>> = {
  empty: layerOf([entry("", { ...DIRECTORY, flags: Flag.implicit })]),
  "empty-unindexed": layerOf([entry("", { ...DIRECTORY, flags: Flag.implicit })], { indexed: false }),
  small: SMALL,
  kinds: layerOf(KINDS, { order: tarOrder(KINDS) }),
  "kinds-unindexed": unindexed(KINDS),
  names: layerOf([ROOT, ...[...BYTES].sort().map((name, row) => entry(name, { ...file(row, 512 * (row + 1)) }))]),
  sizes: layerOf([
    ROOT,
    entry("a", { size: 2 ** 32 + 1, chunk: 0, offset: 512 }),
    entry("b", { size: 2 ** 48 - 1, chunk: 1, offset: 2 ** 32 + 1024 }),
    entry("c", { size: 1, chunk: 2, offset: 2 ** 48 - 512 }),
  ]),
  times: layerOf([ROOT, ...TIMES.map(([mtime, mtimeNs], row) => entry(`t${row}`, { mtime, mtimeNs }))]),
};

/** Not committed: its bytes are compared by their hash. 100,000 entries in 1,000 directories. */
export function largeLayer(): VectorLayer {
  const names = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, at) => `${prefix}${String(at).padStart(4, "0")}`);
  const directories = names("d", 999);
  const files = directories.flatMap((directory) => names(`${directory}/f`, 99));
  const entries = [ROOT, ...directories.map((path) => entry(path, DIRECTORY))];
  for (const [row, path] of files.entries()) entries.push(entry(path, { ...file(row % 5000, 1024 * (row + 1)), mtime: row }));
  for (let row = entries.length; row < 100_000; row++) entries.push(entry(`gone${row}`, { flags: Flag.shadowed }));
  return layerOf(entries);
}

/** Stands for a SHA-256: as many bytes, another for each row. */
function chunkId(row: number): Buffer {
  const bytes = Buffer.alloc(32, row + 1);
  bytes.writeUInt32LE(row + 1, 0);
  return bytes;
}

function xattr(name: string, value: string): Xattr {
  return { name: name as ByteString, value: value as ByteString };
}

/** Entries with data by their offsets, all others before them. */
function tarOrder(entries: readonly SidecarEntry[]): Uint32Array {
  const inTar = [...entries.keys()].filter((number) => (entries[number]!.flags & Flag.implicit) === 0);
  return Uint32Array.from(inTar.sort((a, b) => entries[a]!.offset - entries[b]!.offset));
}

/** The same layer unindexed: live entries of the tar in its order, then implicit ones, then shadowed ones. */
function unindexed(entries: readonly SidecarEntry[]): VectorLayer {
  const tar = [...tarOrder(entries)];
  const is = (number: number, flag: number): boolean => (entries[number]!.flags & flag) !== 0;
  const live = tar.filter((number) => number !== 0 && !is(number, Flag.shadowed));
  const implicit = [...entries.keys()].filter((number) => is(number, Flag.implicit));
  const numbers = [0, ...live, ...implicit, ...tar.filter((number) => is(number, Flag.shadowed))];
  const placed = numbers.map((number) => entries[number]!);
  const moved = placed.map((one) => (one.leader === -1 ? one : { ...one, leader: numbers.indexOf(one.leader) }));
  return layerOf(moved, { indexed: false, order: Uint32Array.from(tar, (number) => numbers.indexOf(number)) });
}
