/** A file system of its own in a file, mounted by loop, that can lose its power, get full, and become read-only. Needs root. */
import { closeSync, constants, mkdirSync, openSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import koffi from "koffi";
import { run } from "../support/run.ts";

export interface DiskOptions {
  /** Bytes. */
  readonly size: number;
  /** More for mkfs.ext4. */
  readonly make?: readonly string[];
  /** An image to begin with, instead of an empty file system. */
  readonly from?: string;
}

/** ext4's, of include/uapi/linux/ext4.h: everything stops, and what is not in the journal is lost. */
const EXT4_IOC_SHUTDOWN = 0x8004587d;
const NO_LOG_FLUSH = 2;
const UNMOUNT_MS = 60_000;

export class Disk implements AsyncDisposable {
  readonly image: string;
  /** Where it is mounted. */
  readonly path: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.image = join(directory, "image");
    this.path = join(directory, "mounted");
  }

  /** ext4, mounted; `directory` must be absent. */
  static async create(directory: string, { size, make = [], from }: DiskOptions): Promise<Disk> {
    const disk = new Disk(directory);
    mkdirSync(disk.path, { recursive: true });
    if (from !== undefined) await run("cp", ["--sparse=always", from, disk.image]);
    else {
      await run("truncate", ["-s", `${size}`, disk.image]);
      await run("mkfs.ext4", ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", ...make, disk.image]);
    }
    await disk.mount();
    return disk;
  }

  /** Bytes that may still be written. */
  get free(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  get freeInodes(): number {
    return statfsSync(this.path).ffree;
  }

  async mount(): Promise<void> {
    await run("mount", ["-o", "loop", this.image, this.path]);
  }

  async remount(options: string): Promise<void> {
    await run("mount", ["-o", `remount,${options}`, this.path]);
  }

  /** Ends when the image has all that was written: until then a mount namespace that something else made meanwhile keeps the file system. */
  async unmount(): Promise<void> {
    await run("umount", [this.path]);
    const began = performance.now();
    while ((await run("losetup", ["--associated", this.image])).length > 0) {
      if (performance.now() - began > UNMOUNT_MS)
        throw new Error(`${this.image} is still mounted in a mount namespace that something made`);
      await sleep(20);
    }
  }

  /** As if the power went: no more writes, and nothing that was not written before. */
  cut(): void {
    const libc = koffi.load("libc.so.6");
    const ioctl = libc.func("int ioctl(int fd, unsigned long request, uint32_t *argument)") as (
      fd: number,
      request: number,
      argument: Uint32Array,
    ) => number;
    const fd = openSync(this.path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      if (ioctl(fd, EXT4_IOC_SHUTDOWN, Uint32Array.of(NO_LOG_FLUSH)) !== 0) throw new Error("the file system cannot be shut down");
    } finally {
      closeSync(fd);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount().catch(() => undefined);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
