/** The state that the machine is brought into before anything is timed. */
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { run } from "../../test/support/run.ts";

const QUIET_KIB = 2048;
const PATIENCE_MS = 10_000;

/** All that was written is on the disk, and the kernel writes nothing more (or after 10 s of waiting, hardly anything). */
export async function untilWritten(): Promise<void> {
  await run("sync", []);
  const deadline = Date.now() + PATIENCE_MS;
  while (pendingKib() > QUIET_KIB && Date.now() < deadline) await delay(50);
}

/** Pages, names and inodes that the kernel keeps are forgotten; false when that is not ours to ask. */
export async function dropCaches(): Promise<boolean> {
  await run("sync", []);
  try {
    writeFileSync("/proc/sys/vm/drop_caches", "3");
    return true;
  } catch {
    return false; // needs root, on a /proc that can be written
  }
}

/** The part of the memory, 0 to 1, that pages of files and the kernel's names and inodes take. */
export function cachedShare(): number {
  return memoryKib("Cached", "Buffers", "SReclaimable") / memoryKib("MemTotal");
}

function pendingKib(): number {
  return memoryKib("Dirty", "Writeback");
}

/** The sum of these lines of /proc/meminfo. */
function memoryKib(...names: readonly string[]): number {
  const lines = readFileSync("/proc/meminfo", "utf8").matchAll(/^(\w+):\s+(\d+) kB$/gm);
  return Array.from(lines).reduce((sum, [, name, kib]) => sum + (names.includes(name!) ? Number(kib) : 0), 0);
}
