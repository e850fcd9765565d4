/** A loop-mounted file system in a file, which can lose power, become full, and become read-only. Needs root. */
import { closeSync, constants, mkdirSync, openSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import koffi from "koffi";
import { run } from "../support/run.ts";

export interface DiskOptions {
  /** Size in bytes. */
  readonly size: number;
  /** Further options for mkfs.ext4. */
  readonly make?: readonly string[];
  /** An image to copy, in place of an empty file system. */
  readonly from?: string;
}

/** EXT4_IOC_SHUTDOWN of include/uapi/linux/ext4.h: all I/O stops, and data that is not in the journal is lost. */
const EXT4_IOC_SHUTDOWN = 0x8004587d;
const NO_LOG_FLUSH = 2;
const UNMOUNT_MS = 60_000;

export class Disk implements AsyncDisposable {
  readonly image: string;
  /** The mount point. */
  readonly path: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.image = join(directory, "image");
    this.path = join(directory, "mounted");
  }

  /** Makes and mounts an ext4 file system; `directory` must not exist. */
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

  /** Bytes that can still be written. */
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

  /** Resolves when the image contains all writes: until then, a mount namespace that another program made keeps the file system busy. */
  async unmount(): Promise<void> {
    await run("umount", [this.path]);
    const began = performance.now();
    while ((await run("losetup", ["--associated", this.image])).length > 0) {
      if (performance.now() - began > UNMOUNT_MS) throw new Error(`${this.image} is still mounted in a mount namespace of another program`);
      await sleep(20);
    }
  }

  /** Simulates a power cut: no more writes, and unwritten data is lost. */
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
