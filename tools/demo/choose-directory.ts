/** Where the demo's store can lie. */
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { toByteString, type ByteString } from "../../src/bytes.ts";
import { setPathXattr } from "../../src/system/syscalls.ts";

const ROOM_BYTES = 1e9;

export function usualDirectories(): string[] {
  return [tmpdir(), "/var/tmp", join(homedir(), ".cache"), process.cwd()];
}

/** A new directory in the first of these that has room, and keeps extended attributes (a tmpfs before Linux 6.6 does not). */
export function makeStoreDirectory(parents: readonly string[]): string {
  const problems: string[] = [];
  for (const parent of parents) {
    try {
      return makeIn(parent);
    } catch (error) {
      problems.push(`${parent}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(`no directory for a store of ${ROOM_BYTES / 1e6} MB; set TMPDIR to one\n${problems.join("\n")}`);
}

function makeIn(parent: string): string {
  const { bavail, bsize } = statfsSync(parent);
  if (bavail * bsize < ROOM_BYTES) throw new Error("not enough free space");
  const directory = mkdtempSync(join(parent, "shale-demo-"));
  try {
    const probe = join(directory, "probe");
    writeFileSync(probe, "");
    setPathXattr(toByteString(probe), "user.shale" as ByteString, "probe" as ByteString);
    rmSync(probe);
    return directory;
  } catch (error) {
    rmSync(directory, { recursive: true });
    throw error;
  }
}
