/** Everything that can be seen of a directory tree, as data to compare. */
import { createHash } from "node:crypto";
import { closeSync, lstatSync, openSync, readdirSync, readlinkSync, readSync, type BigIntStats } from "node:fs";
import { fromBytes, showBytes, toBytes } from "../../src/bytes.ts";
import type { ByteString } from "../../src/bytes.ts";
import { run } from "./run.ts";

export interface TreeEntry {
  /** Relative to the tree, `.` for itself, escaped by showBytes. */
  readonly path: string;
  readonly type: "file" | "directory" | "symlink" | "char" | "block" | "fifo" | "socket";
  /** Permission bits, octal. */
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 0 unless a file. */
  readonly size: number;
  /** `seconds.nanoseconds`; seconds are floored, so 1969-12-31T23:59:58.5Z is `-2.500000000`. */
  readonly mtime: string;
  /** Target of a symlink, escaped. */
  readonly link?: string;
  /** Of a file's content. */
  readonly sha256?: string;
  /** Of a device: `major:minor`. */
  readonly device?: string;
  /** The first path of those in this tree that share this inode, if there are several. */
  readonly linkedWith?: string;
  /** Hex of the value by name. */
  readonly xattrs: Readonly<Record<string, string>>;
}

/** Sorted by path. Reads every file, and holds up the event loop meanwhile: a tree of an image has thousands. `root` must not change. */
export async function manifestOfTree(root: string): Promise<TreeEntry[]> {
  const base = fromBytes(Buffer.from(root));
  const xattrs = await readXattrs(root);
  const reader = new TreeReader(base);
  return markLinks([base, ...listPaths(base)].sort().map((path) => reader.read(path, xattrs.get(path) ?? {})));
}

type Found = TreeEntry & { readonly inode: string };
type Xattrs = ReadonlyMap<ByteString, Readonly<Record<string, string>>>;

/** The differences between two trees, one line each; empty if there are none. `ignore` names fields not to compare. */
export function compareTrees(
  actual: readonly TreeEntry[],
  expected: readonly TreeEntry[],
  ignore: readonly (keyof TreeEntry)[] = [],
): string[] {
  const rest = new Map(expected.map((entry) => [entry.path, entry]));
  const differences: string[] = [];
  for (const entry of actual) {
    const other = rest.get(entry.path);
    rest.delete(entry.path);
    if (other === undefined) differences.push(`${entry.path}: is not expected`);
    else differences.push(...compareEntries(entry, other, ignore));
  }
  return [...differences, ...[...rest.keys()].map((path) => `${path}: is missing`)];
}

function compareEntries(actual: TreeEntry, expected: TreeEntry, ignore: readonly (keyof TreeEntry)[]): string[] {
  const fields = [...new Set([...Object.keys(actual), ...Object.keys(expected)])] as (keyof TreeEntry)[];
  const differing = fields.filter((field) => !ignore.includes(field) && JSON.stringify(actual[field]) !== JSON.stringify(expected[field]));
  return differing.map((field) => `${actual.path}: ${field} is ${JSON.stringify(actual[field])}, not ${JSON.stringify(expected[field])}`);
}

function listPaths(directory: ByteString): ByteString[] {
  const paths: ByteString[] = [];
  for (const entry of readdirSync(toBytes(directory), { withFileTypes: true, encoding: "buffer" })) {
    const path = `${directory}/${fromBytes(entry.name)}` as ByteString;
    paths.push(path);
    if (entry.isDirectory()) for (const below of listPaths(path)) paths.push(below);
  }
  return paths;
}

class TreeReader {
  readonly #base: ByteString;
  readonly #buffer = Buffer.allocUnsafe(1024 * 1024);
  /** By inode and ctime, in which names of an overlay differ that share the inode of a lower layer: each is read once. */
  readonly #sha256 = new Map<string, string>();

  constructor(base: ByteString) {
    this.#base = base;
  }

  read(path: ByteString, xattrs: TreeEntry["xattrs"]): Found {
    const stat = lstatSync(toBytes(path), { bigint: true });
    const type = typeOf(stat);
    const inode = `${stat.dev}:${stat.ino}`;
    const relative = path === this.#base ? ("." as ByteString) : (path.slice(this.#base.length + 1) as ByteString);
    return {
      path: showBytes(relative),
      type,
      mode: (stat.mode & 0o7777n).toString(8).padStart(4, "0"),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: type === "file" ? Number(stat.size) : 0,
      mtime: showTime(stat.mtimeNs),
      ...(type === "symlink" ? { link: showBytes(readlinkSync(toBytes(path), { encoding: "buffer" })) } : {}),
      ...(type === "file" ? { sha256: this.#hash(path, `${inode} ${stat.ctimeNs}`) } : {}),
      ...(type === "char" || type === "block" ? { device: showDevice(stat.rdev) } : {}),
      xattrs,
      inode,
    };
  }

  #hash(path: ByteString, identity: string): string {
    const known = this.#sha256.get(identity);
    if (known !== undefined) return known;
    const hash = createHash("sha256");
    const fd = openSync(toBytes(path), "r");
    try {
      for (let length = -1; length !== 0;) {
        length = readSync(fd, this.#buffer);
        hash.update(this.#buffer.subarray(0, length));
      }
    } finally {
      closeSync(fd);
    }
    const digest = hash.digest("hex");
    this.#sha256.set(identity, digest);
    return digest;
  }
}

function typeOf(stat: BigIntStats): TreeEntry["type"] {
  if (stat.isFile()) return "file";
  if (stat.isDirectory()) return "directory";
  if (stat.isSymbolicLink()) return "symlink";
  if (stat.isCharacterDevice()) return "char";
  if (stat.isBlockDevice()) return "block";
  return stat.isFIFO() ? "fifo" : "socket";
}

function showTime(nanoseconds: bigint): string {
  const fraction = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return `${(nanoseconds - fraction) / 1_000_000_000n}.${fraction.toString().padStart(9, "0")}`;
}

/** Linux's makedev, for numbers below 2^12 and 2^20. */
function showDevice(device: bigint): string {
  return `${(device >> 8n) & 0xfffn}:${(device & 0xffn) | ((device >> 12n) & 0xfff00n)}`;
}

function markLinks(entries: readonly Found[]): TreeEntry[] {
  const first = new Map<string, string>();
  const linked = new Set<string>();
  for (const { inode, path, type } of entries) {
    if (type === "directory") continue;
    if (first.has(inode)) linked.add(inode);
    else first.set(inode, path);
  }
  return entries.map(({ inode, ...entry }) => (linked.has(inode) ? { ...entry, linkedWith: first.get(inode) ?? "" } : entry));
}

/** By getfattr, which tells names and values in escaped text: octal in paths, hex in values. */
async function readXattrs(root: string): Promise<Xattrs> {
  const text = fromBytes(await run("getfattr", ["-R", "-P", "-h", "-d", "-m", "-", "-e", "hex", "--absolute-names", "--", root]));
  const found = new Map<ByteString, Record<string, string>>();
  for (const block of text.split("\n\n").filter((part) => part.startsWith("# file: "))) {
    const [head = "", ...lines] = block.trimEnd().split("\n");
    const path = head
      .slice("# file: ".length)
      .replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
    const pairs = lines.map((line): [string, string] => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]);
    found.set(path as ByteString, Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1))));
  }
  return found;
}
