/** Describes a tree on disk as lines of text, without following links in it. */
import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { fromBytes, showBytes, type ByteString } from "../../src/bytes.ts";
import { getPathXattr } from "../../src/system/syscalls.ts";

/**
 * Returns sorted lines, one for each name except the root: `path dir 755`, `path file 644 "content"` (the length in place of long
 * content), `path link target`, `path char 1:3`, `path whiteout`; and `= a b` for names of one inode.
 */
export function describeTree(root: string): string[] {
  const lines: string[] = [];
  const inodes = new Map<number, string[]>();
  const rest: ByteString[] = ["" as ByteString];
  for (let prefix = rest.pop(); prefix !== undefined; prefix = rest.pop()) {
    for (const bytes of readdirSync(pathOf(root, prefix), { encoding: "buffer" })) {
      const name = `${prefix}${fromBytes(bytes)}` as ByteString;
      const stat = lstatSync(pathOf(root, name));
      lines.push(`${showBytes(name, 200)} ${lineOf(root, name, stat)}`);
      if (stat.isDirectory()) rest.push(`${name}/` as ByteString);
      else if (!isWhiteout(stat)) inodes.set(stat.ino, [...(inodes.get(stat.ino) ?? []), showBytes(name, 200)]);
    }
  }
  for (const names of inodes.values()) if (names.length > 1) lines.push(`= ${names.sort().join(" ")}`);
  return lines.sort();
}

function lineOf(root: string, name: ByteString, stat: Stats): string {
  const mode = (stat.mode & 0o7777).toString(8);
  if (stat.isSymbolicLink()) return `link ${showBytes(readlinkSync(pathOf(root, name), "buffer"), 200)}`;
  if (stat.isDirectory()) return `dir ${mode}${isOpaque(root, name) ? " opaque" : ""}`;
  if (isWhiteout(stat)) return "whiteout";
  if (stat.isCharacterDevice()) return `char ${device(stat)}`;
  if (stat.isBlockDevice()) return `block ${device(stat)}`;
  if (stat.isFIFO()) return `fifo ${mode}`;
  return `file ${mode} ${stat.size > 40 ? stat.size : JSON.stringify(showBytes(readFileSync(pathOf(root, name))))}`;
}

function isOpaque(root: string, name: ByteString): boolean {
  const path = fromBytes(pathOf(root, name));
  return getPathXattr(path, "trusted.overlay.opaque" as ByteString) !== undefined;
}

function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0;
}

function device({ rdev }: Stats): string {
  return `${(rdev >> 8) & 0xfff}:${rdev & 0xff}`;
}

function pathOf(root: string, name: ByteString): Buffer {
  return Buffer.concat([Buffer.from(root), Buffer.from(`/${name}`, "latin1")]);
}
