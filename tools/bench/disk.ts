/** What a directory takes on the disk, and how a directory is got rid of when programs have mounted things in it. */
import { lstatSync, readdirSync, readFileSync, statfsSync, truncateSync } from "node:fs";
import { rm } from "node:fs/promises";
import { run } from "../../test/support/run.ts";

const BLOCK_BYTES = 512;

export interface DiskUse {
  /** st_blocks, each inode once. */
  readonly disk: number;
  readonly inodes: number;
  /** Directory entries, all kinds. */
  readonly names: number;
}

/** Names need not be UTF-8. */
export function measureDisk(directory: string): DiskUse {
  const inodes = new Map<bigint, number>();
  const todo = [Buffer.from(directory)];
  let names = 0;
  for (let path = todo.pop(); path; path = todo.pop()) {
    const { ino, blocks } = lstatSync(path, { bigint: true });
    inodes.set(ino, Number(blocks) * BLOCK_BYTES);
    for (const entry of readdirSync(path, { withFileTypes: true, encoding: "buffer" })) {
      names++;
      const child = Buffer.concat([path, Buffer.from("/"), entry.name]);
      if (entry.isDirectory()) todo.push(child);
      else {
        const stat = lstatSync(child, { bigint: true });
        inodes.set(stat.ino, Number(stat.blocks) * BLOCK_BYTES);
      }
    }
  }
  return { disk: [...inodes.values()].reduce((sum, bytes) => sum + bytes, 0), inodes: inodes.size, names };
}

export function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/**
 * Frees the blocks of all files below it, and leaves the files: an ext4 without a journal searches past every inode that was freed in the
 * last minutes, so that making files takes several times as long after a mass deletion. Unmounts what is mounted below it first.
 */
export async function emptyFiles(directory: string): Promise<void> {
  await unmountBelow(directory);
  const todo = [Buffer.from(directory)];
  for (let path = todo.pop(); path; path = todo.pop()) {
    for (const entry of readdirSync(path, { withFileTypes: true, encoding: "buffer" })) {
      const child = Buffer.concat([path, Buffer.from("/"), entry.name]);
      if (entry.isDirectory()) todo.push(child);
      else if (entry.isFile() && lstatSync(child).size > 0) truncateSync(child);
    }
  }
}

/** Unmounts what is mounted below it first. */
export async function removeDirectory(directory: string): Promise<void> {
  await unmountBelow(directory);
  await rm(directory, { recursive: true, force: true });
}

async function unmountBelow(directory: string): Promise<void> {
  for (const mount of mountsBelow(directory).toReversed()) await run("umount", ["--lazy", mount]);
}

/** In the order of mounting. */
function mountsBelow(directory: string): string[] {
  const points = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "");
  return points.filter((point) => point.startsWith(`${directory}/`));
}
