/**
 * The programs that the tests need beside Node. As root on Debian what is missing is installed with apt; anywhere else it
 * is named and the run fails: a test that cannot run is a failure, never a skip.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

interface Prerequisite {
  readonly program: string;
  /** Debian's package that brings it. */
  readonly debian: string;
}

export const PREREQUISITES: readonly Prerequisite[] = [
  { program: "mmdebstrap", debian: "mmdebstrap" },
  { program: "umoci", debian: "umoci" },
  { program: "skopeo", debian: "skopeo" },
  { program: "docker-registry", debian: "docker-registry" },
  { program: "nginx", debian: "nginx-light" },
  { program: "bwrap", debian: "bubblewrap" },
  { program: "crun", debian: "crun" },
  { program: "mkfs.xfs", debian: "xfsprogs" },
  { program: "mkfs.btrfs", debian: "btrfs-progs" },
  { program: "mkfs.ext4", debian: "e2fsprogs" },
  { program: "getfattr", debian: "attr" },
  { program: "setcap", debian: "libcap2-bin" },
  { program: "strace", debian: "strace" },
  { program: "unshare", debian: "util-linux" },
  { program: "prlimit", debian: "util-linux" },
  { program: "losetup", debian: "mount" },
  { program: "zstd", debian: "zstd" },
  { program: "openssl", debian: "openssl" },
  { program: "zsh", debian: "zsh" },
  { program: "fish", debian: "fish" },
  { program: "fuse-overlayfs", debian: "fuse-overlayfs" },
  { program: "podman", debian: "podman" },
];

/** System programs live in sbin, which is not on everyone's PATH. */
const SYSTEM_FOLDERS: readonly string[] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

export function missingPrerequisites(
  path: string = process.env["PATH"] ?? "",
  wanted: readonly Prerequisite[] = PREREQUISITES,
): Prerequisite[] {
  const folders = [...path.split(delimiter).filter((folder) => folder !== ""), ...SYSTEM_FOLDERS];
  return wanted.filter(({ program }) => !folders.some((folder) => isExecutable(join(folder, program))));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    // absent or not ours to run: either way the search goes on
    return false;
  }
}

function canInstall(): boolean {
  return process.getuid?.() === 0 && /^ID(?:_LIKE)?=.*\bdebian\b/m.test(readFileSync("/etc/os-release", "utf8"));
}

function install(packages: readonly string[]): void {
  // RUNLEVEL=1 keeps invoke-rc.d from starting services: the tests run a registry of their own
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const options = { env, stdio: ["ignore", "inherit", "inherit"] as ["ignore", "inherit", "inherit"] };
  spawnSync("apt-get", ["update", "-q"], options);
  spawnSync("apt-get", ["install", "-q", "-y", "--no-install-recommends", ...packages], options);
}

if (import.meta.main) {
  const before = missingPrerequisites();
  if (before.length > 0 && canInstall()) install([...new Set(before.map(({ debian }) => debian))]);
  const missing = missingPrerequisites();
  for (const { program, debian } of missing) process.stderr.write(`the tests need ${program}; on Debian: apt-get install ${debian}\n`);
  process.stderr.write(`prerequisites: ${missing.length === 0 ? "ok" : `${missing.length} missing`}\n`);
  if (missing.length > 0) process.exitCode = 1;
}
