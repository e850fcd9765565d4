/** Formats one entry of a sidecar, as a line for people or as JSON for programs. */
import { Flag, type Sidecar } from "../../format/index.ts";
import { showBytes, toBytes, type ByteString } from "../bytes.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } from "../store/profile.ts";

/** Kinds by type bits: the word in JSON, and the letter in a line. */
const KINDS: ReadonlyMap<number, readonly [string, string]> = new Map([
  [S_IFREG, ["file", "-"]],
  [S_IFDIR, ["directory", "d"]],
  [S_IFLNK, ["symlink", "l"]],
  [S_IFCHR, ["char", "c"]],
  [S_IFBLK, ["block", "b"]],
  [S_IFIFO, ["fifo", "p"]],
  [S_IFSOCK, ["socket", "s"]],
]);

const FLAGS: readonly (readonly [number, string, string])[] = [
  [Flag.whiteout, "whiteout", "w"],
  [Flag.opaque, "opaque", "o"],
  [Flag.implicit, "implicit", "i"],
  [Flag.hardLink, "hardLink", "h"],
  [Flag.shadowed, "shadowed", "s"],
  [Flag.sparse, "sparse", "p"],
];

export const TABLE_HEAD = "mode             owner         size mtime                               offset chunk        flags  path";

export function kindOf(sidecar: Sidecar, entry: number): string {
  if (sidecar.flags(entry) & Flag.whiteout) return "whiteout";
  return KINDS.get(sidecar.mode(entry) & S_IFMT)?.[0] ?? "none";
}

/** Returns a line like that of `ls -l`: mode, owner, size (or device numbers), mtime, offset, chunk (12 digits), flags, escaped path, target. */
export function entryLine(sidecar: Sidecar, entry: number): string {
  const { path, mode, uid, gid, rdevMajor, rdevMinor, size, mtime, mtimeNs, offset, chunk, flags, target, leader } = sidecar.entry(entry);
  const type = mode & S_IFMT;
  const device = type === S_IFCHR || type === S_IFBLK;
  const columns = [
    `${flags & Flag.whiteout ? "w" : (KINDS.get(type)?.[1] ?? "?")}${permissions(mode)}`,
    `${uid}:${gid}`.padStart(11),
    (device ? `${rdevMajor},${rdevMinor}` : String(size)).padStart(12),
    timeText(mtime, mtimeNs).padEnd(30),
    (offset === 0 ? "-" : String(offset)).padStart(11),
    chunk < 0 ? "-".padEnd(12) : sidecar.chunkHex(chunk).slice(0, 12),
    FLAGS.map(([flag, , letter]) => (flags & flag ? letter : "-")).join(""),
    path === "" ? "." : showBytes(path as ByteString, Infinity),
  ];
  const arrow = type === S_IFLNK ? ` -> ${showBytes(target as ByteString, Infinity)}` : "";
  const link = leader >= 0 && leader !== entry ? ` == ${showBytes(sidecar.path(leader) as ByteString, Infinity)}` : "";
  return columns.join(" ") + arrow + link;
}

/** Returns all fields of an entry. `order` is its position in the tar, or null. Bytes that are not UTF-8 become `{"hex": ...}`. */
export function entryJson(sidecar: Sidecar, entry: number, order: number | null): Record<string, unknown> {
  const { chunk, flags, leader, mode, path, target, xattrs, ...numbers } = sidecar.entry(entry);
  return {
    entry,
    order,
    path: bytesJson(path),
    kind: kindOf(sidecar, entry),
    mode,
    ...numbers,
    chunk: chunk < 0 ? null : `sha256:${sidecar.chunkHex(chunk)}`,
    flags: flagNames(flags),
    target: bytesJson(target),
    leader: leader < 0 ? null : bytesJson(sidecar.path(leader)),
    xattrs: xattrs.map(({ name, value }) => [bytesJson(name), bytesJson(value)]),
  };
}

function flagNames(flags: number): string[] {
  return FLAGS.filter(([flag]) => (flags & flag) !== 0).map(([, name]) => name);
}

export function bytesJson(text: string): string | { readonly hex: string } {
  const bytes = toBytes(text as ByteString);
  const utf8 = bytes.toString("utf8");
  return Buffer.from(utf8, "utf8").equals(bytes) ? utf8 : { hex: bytes.toString("hex") };
}

/** Returns ISO 8601 with nanoseconds, or seconds since 1970 for a year outside 0 to 9999. */
function timeText(seconds: number, nanoseconds: number): string {
  const fraction = nanoseconds === 0 ? "" : `.${String(nanoseconds).padStart(9, "0")}`;
  const date = new Date(seconds * 1000);
  const year = Number.isNaN(date.getTime()) ? -1 : date.getUTCFullYear();
  if (year < 0 || year > 9999) return `${seconds}s${fraction}`;
  return `${date.toISOString().slice(0, 19)}${fraction}Z`;
}

/** Returns the permissions as `rwxr-sr-t`. */
function permissions(mode: number): string {
  const letters = Array.from({ length: 9 }, (_, at) => (mode & (0o400 >> at) ? "rwx"[at % 3]! : "-"));
  for (const [bit, at, letter] of [
    [0o4000, 2, "s"],
    [0o2000, 5, "s"],
    [0o1000, 8, "t"],
  ] as const) {
    if (mode & bit) letters[at] = letters[at] === "-" ? letter.toUpperCase() : letter;
  }
  return letters.join("");
}
