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

function pendingKib(): number {
  const lines = readFileSync("/proc/meminfo", "utf8").matchAll(/^(?:Dirty|Writeback):\s+(\d+) kB$/gm);
  return Array.from(lines).reduce((sum, [, kib]) => sum + Number(kib), 0);
}
