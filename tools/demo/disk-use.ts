/** What is on the disk, as the file system counts it: in blocks, and a file with many names once. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

const BLOCK_BYTES = 512;

/** Bytes that these directories take together, each inode counted once. */
export function diskUse(...directories: readonly string[]): number {
  const inodes = new Map<bigint, number>();
  for (const path of directories.flatMap((directory) => [directory, ...pathsBelow(directory)])) {
    const { ino, blocks } = lstatSync(path, { bigint: true });
    inodes.set(ino, Number(blocks) * BLOCK_BYTES);
  }
  return [...inodes.values()].reduce((sum, bytes) => sum + bytes, 0);
}

function pathsBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((child) => {
    const path = join(directory, child.name);
    return child.isDirectory() ? [path, ...pathsBelow(path)] : [path];
  });
}
